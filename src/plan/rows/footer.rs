//! The shape of a Parquet file's schema, looked at before the reader sees it: the reader makes room for as many children
//! as a group says it has, and goes as deep as the tree does, and either can end the program.
//!
//! A footer is Thrift's compact protocol: a struct whose second field is the list of the schema's elements, in the order
//! of a walk; the fifth field of each is how many children it has.

/// Deepest schema; data sets of questions have five levels.
const DEEPEST: usize = 32;
/// What stands between the footer and the file's end: its length, and the file's mark.
const TAIL: usize = 8;

/// Whether the schema is a tree that can be walked.
///
/// # Errors
/// What is wrong with it.
pub(super) fn check(file: &[u8]) -> Result<(), String> {
    let (body, tail) = file.split_at_checked(file.len().saturating_sub(TAIL)).unwrap_or_default();
    let Some((length, mark)) = tail.split_first_chunk::<4>() else {
        return Err("it is not a Parquet file: it is too short".to_owned());
    };
    match mark {
        b"PAR1" => {}
        b"PARE" => return Err("it is encrypted".to_owned()),
        _ => return Err("it is not a Parquet file, or its end is missing".to_owned()),
    }
    let length = u32::from_le_bytes(*length) as usize;
    let footer = body.len().checked_sub(length).and_then(|start| body.get(start..));
    let children = footer.and_then(|footer| Walk(footer).children());
    let children = children.ok_or("its footer is damaged")?;
    let depth = depth(&children).ok_or("its schema is not a tree")?;
    if depth > DEEPEST {
        return Err(format!("its columns are nested {depth} deep, and {DEEPEST} is the most"));
    }
    Ok(())
}

/// Levels of the tree whose nodes have so many children, in the order of a walk; nothing if it has no end.
fn depth(children: &[usize]) -> Option<usize> {
    // Children that are yet to come, of each group that is open.
    let mut open: Vec<usize> = Vec::new();
    let mut deepest = 0;
    for (i, count) in children.iter().enumerate() {
        if *count > children.len() - i {
            return None;
        }
        if *count > 0 {
            open.push(*count);
            deepest = deepest.max(open.len());
            continue;
        }
        while let Some(left) = open.last_mut() {
            *left -= 1;
            if *left > 0 {
                break;
            }
            open.pop();
        }
    }
    open.is_empty().then_some(deepest)
}

/// What is left of a footer.
struct Walk<'a>(&'a [u8]);

/// Types of the compact protocol.
const STOP: u8 = 0;
const LIST: u8 = 9;
const STRUCT: u8 = 12;

impl Walk<'_> {
    /// Children of each element of the schema.
    fn children(mut self) -> Option<Vec<usize>> {
        let mut id = 0;
        while let Some(kind) = self.field(&mut id)? {
            if id == 2 && kind == LIST {
                let (count, STRUCT) = self.list()? else { return None };
                return (0..count).map(|_| self.element()).collect();
            }
            self.skip(kind, 0)?;
        }
        None
    }

    fn element(&mut self) -> Option<usize> {
        let (mut id, mut children) = (0, 0);
        while let Some(kind) = self.field(&mut id)? {
            if id == 5 {
                let zigzag = self.number()?;
                children = if zigzag % 2 == 0 { usize::try_from(zigzag / 2).ok()? } else { return None };
            } else {
                self.skip(kind, 0)?;
            }
        }
        Some(children)
    }

    /// The next field's type, and its id in `id`; nothing at the struct's end.
    #[expect(clippy::option_option, reason = "damage, or the end, or a field")]
    fn field(&mut self, id: &mut i64) -> Option<Option<u8>> {
        let head = self.byte()?;
        if head & 15 == STOP {
            return Some(None);
        }
        *id = match head >> 4 {
            0 => i64::try_from(self.number()? / 2).ok()?,
            step => id.checked_add(i64::from(step))?,
        };
        Some(Some(head & 15))
    }

    /// How many elements, of which type.
    fn list(&mut self) -> Option<(u64, u8)> {
        let head = self.byte()?;
        let count = if head >> 4 == 15 { self.number()? } else { u64::from(head >> 4) };
        // Each takes a byte at least.
        (count <= self.0.len() as u64).then_some((count, head & 15))
    }

    fn skip(&mut self, kind: u8, depth: usize) -> Option<()> {
        if depth > DEEPEST {
            return None;
        }
        match kind {
            // In a field, true and false are types.
            1 | 2 => Some(()),
            3 => self.take(1),
            4..=6 => self.number().map(|_| ()),
            7 => self.take(8),
            8 => {
                let length = self.number()?;
                self.take(usize::try_from(length).ok()?)
            }
            LIST | 10 => {
                let (count, kind) = self.list()?;
                let of = |walk: &mut Self| match kind {
                    1 | 2 => walk.take(1),
                    kind => walk.skip(kind, depth + 1),
                };
                (0..count).try_for_each(|_| of(self))
            }
            STRUCT => {
                let mut id = 0;
                while let Some(kind) = self.field(&mut id)? {
                    self.skip(kind, depth + 1)?;
                }
                Some(())
            }
            _ => None,
        }
    }

    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn take(&mut self, count: usize) -> Option<()> {
        self.0 = self.0.get(count..)?;
        Some(())
    }

    /// Seven bits a byte, the lowest first.
    fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 127) << shift;
            if byte < 128 {
                return Some(number);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trees_and_what_is_none() {
        assert_eq!(depth(&[2, 0, 0]), Some(1));
        assert_eq!(depth(&[2, 1, 0, 2, 0, 0]), Some(2));
        assert_eq!(depth(&[1, 1, 1, 0]), Some(3));
        for wrong in [&[usize::MAX, 0][..], &[3, 0, 0], &[1, 1, 1]] {
            assert_eq!(depth(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn a_group_of_two_thousand_million_children_is_refused() {
        // version = 1; schema = [{ name: "m", num_children: i32::MAX }]; end.
        let mut file = vec![0x15, 2, 0x19, 0x1c, 0x48, 1, b'm', 0x15, 0xfe, 0xff, 0xff, 0xff, 0x0f, 0, 0];
        let length = u32::try_from(file.len()).expect("short");
        file.extend(length.to_le_bytes());
        file.extend(b"PAR1");
        assert_eq!(check(&file), Err("its schema is not a tree".to_owned()));
        for end in 0..file.len() {
            assert!(check(&file[..end]).is_err());
        }
    }
}
