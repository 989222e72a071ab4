//! Numbers of a tensor in up to four dimensions that need not lie one after the other.

use std::borrow::Cow;

/// Borrowed from the native library where memory allows it, otherwise copied.
#[derive(Debug, Clone)]
pub struct Strided<'a, T: Copy> {
    values: Cow<'a, [T]>,
    shape: [usize; 4],
    stride: [usize; 4],
}

impl<'a, T: Copy> Strided<'a, T> {
    /// `stride` counts elements, as `shape` does.
    pub fn new(values: Cow<'a, [T]>, shape: [usize; 4], stride: [usize; 4]) -> Self {
        Self { values, shape, stride }
    }

    /// Sizes of the dimensions, row length first.
    pub fn shape(&self) -> [usize; 4] {
        self.shape
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        let [_, rows, planes, cubes] = self.shape;
        rows * planes * cubes
    }

    /// A row; `None` outside the tensor, or if rows themselves have gaps.
    pub fn row(&self, index: [usize; 3]) -> Option<&[T]> {
        let [columns, sizes @ ..] = self.shape;
        let [step, strides @ ..] = self.stride;
        if step != 1 || index.iter().zip(sizes).any(|(i, size)| *i >= size) {
            return None;
        }
        let start: usize = index.iter().zip(strides).map(|(i, stride)| i * stride).sum();
        self.values.get(start..start + columns)
    }

    /// One element of a matrix; `None` outside of it.
    pub fn at(&self, column: usize, row: usize) -> Option<T> {
        let [columns, rows, ..] = self.shape;
        let [step, stride, ..] = self.stride;
        let inside = column < columns && row < rows;
        inside.then(|| self.values.get(column * step + row * stride).copied()).flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_with_gaps_between_them() {
        let values: Vec<i32> = (0..24).collect();
        let tensor = Strided::new(Cow::Borrowed(&values), [2, 3, 2, 1], [1, 4, 12, 24]);
        assert_eq!((tensor.rows(), tensor.row([1, 1, 0])), (6, Some(&[16, 17][..])));
        assert_eq!((tensor.row([3, 0, 0]), tensor.at(1, 2), tensor.at(2, 0)), (None, Some(9), None));
        let columns = Strided::new(Cow::Borrowed(&values), [2, 3, 1, 1], [4, 1, 0, 0]);
        assert_eq!((columns.row([0, 0, 0]), columns.at(1, 2)), (None, Some(6)));
    }
}
