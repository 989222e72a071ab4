//! A variant's chunks against the base's kept distributions, position by position.
//!
//! With cores to spare the comparison (and the base's output matrix, where hidden states were kept) runs while the
//! next chunk is being decoded; without, the two take turns and nothing is copied. Both give the same numbers.

use std::sync::mpsc::{Receiver, Sender, channel, sync_channel};
use std::thread;

use rayon::ThreadPoolBuilder;

use super::item::ChunkScore;
use super::perplexity::{Piece, Text, TextError, append, batch, pieces};
use super::reference::{Comparer, ROWS_AT_ONCE};
use crate::llama::context::Context;
use crate::llama::model::Model;

/// Blocks that may wait to be compared: as many as a chunk of 512 tokens has. Bounds memory.
const WAITING: usize = 4;

/// Scores a variant on these chunks, in this order; `each` hears of every one. `spare` cores are used for comparing
/// while others decode; with none, decoding waits.
pub fn score_chunks<E: From<TextError>>(
    model: &Model,
    context: &mut Context<'_>,
    text: &Text,
    chunks: &[u64],
    comparer: &mut Comparer,
    spare: usize,
    each: &mut dyn FnMut(u64, ChunkScore) -> Result<(), E>,
) -> Result<(), E> {
    if spare == 0 {
        for chunk in chunks {
            comparer.begin(*chunk)?;
            let mut score = ChunkScore::default();
            decode(model, context, text, *chunk, &mut |rows, truth, together| {
                append(&mut score, comparer.compare(rows, truth, together)?);
                Ok(())
            })?;
            comparer.end()?;
            each(*chunk, score)?;
        }
        return Ok(());
    }
    thread::scope(|scope| {
        let (sender, blocks) = sync_channel(WAITING);
        let (results, scored) = channel();
        scope.spawn(move || compare_beside(comparer, blocks, results, spare));
        let mut tell = |result: Result<(u64, ChunkScore), TextError>| {
            let (chunk, score) = result?;
            each(chunk, score)
        };
        for chunk in chunks {
            // The other side hangs up only after a failure, which is among its results.
            let mut alive = sender.send(Message::Begin(*chunk)).is_ok();
            decode(model, context, text, *chunk, &mut |rows, truth, together| {
                let block = Block { rows: rows.concat(), truth: truth.to_vec(), together };
                alive = alive && sender.send(Message::Block(block)).is_ok();
                Ok(())
            })?;
            let alive = alive && sender.send(Message::End).is_ok();
            scored.try_iter().try_for_each(&mut tell)?;
            if !alive {
                break;
            }
        }
        drop(sender);
        scored.iter().try_for_each(tell)
    })
}

/// What becomes of scored positions: their logits, their true tokens, and how many the same decode scored.
type Take<'a> = &'a mut dyn FnMut(&[&[f32]], &[usize], usize) -> Result<(), TextError>;

/// Decodes a chunk and hands over its scored positions: logits, true tokens, and how many the same decode scored.
fn decode(
    model: &Model,
    context: &mut Context<'_>,
    text: &Text,
    chunk: u64,
    take: Take<'_>,
) -> Result<(), TextError> {
    let tokens = text.chunk(chunk).ok_or(TextError::MissingBase(chunk))?;
    context.clear();
    for piece in pieces(text.cut(), context.n_batch()) {
        context.decode(&batch(model, tokens, &piece))?;
        let Piece { scored, .. } = &piece;
        let (rows, truth) = (piece.logits(context)?, piece.truth(tokens));
        for (rows, truth) in rows.chunks(ROWS_AT_ONCE).zip(truth.chunks(ROWS_AT_ONCE)) {
            take(rows, truth, scored.len())?;
        }
    }
    Ok(())
}

/// What the decoding side says to the comparing one.
enum Message {
    Begin(u64),
    Block(Block),
    End,
}

/// A few positions of a decode, copied, since the next decode overwrites them.
struct Block {
    rows: Vec<f32>,
    truth: Vec<usize>,
    together: usize,
}

/// The comparing side: until the other hangs up, or something fails.
fn compare_beside(
    comparer: &mut Comparer,
    blocks: Receiver<Message>,
    results: Sender<Result<(u64, ChunkScore), TextError>>,
    threads: usize,
) {
    let work = move || {
        let (mut chunk, mut score) = (0, ChunkScore::default());
        for message in blocks {
            let outcome = match message {
                Message::Begin(next) => {
                    (chunk, score) = (next, ChunkScore::default());
                    comparer.begin(chunk)
                }
                Message::Block(Block { rows, truth, together }) => {
                    let width = (rows.len() / truth.len().max(1)).max(1);
                    let rows: Vec<&[f32]> = rows.chunks(width).collect();
                    comparer.compare(&rows, &truth, together).map(|found| append(&mut score, found))
                }
                Message::End => comparer.end().map(|()| {
                    // Nobody listens any more only if decoding failed.
                    let _ = results.send(Ok((chunk, std::mem::take(&mut score))));
                }),
            };
            if let Err(error) = outcome {
                let _ = results.send(Err(error));
                return;
            }
        }
    };
    // Without threads of its own it shares those of everybody.
    let pool = ThreadPoolBuilder::new().num_threads(threads).build();
    match pool {
        Ok(pool) => pool.install(work),
        Err(_) => work(),
    }
}
