//! The blocks of a zstd file that are really compressed, decoded one by one.
//!
//! What a compressed block regenerates, and how much, depends on the window before it and on the
//! tables and offsets that earlier compressed blocks left. So an ordinary decoder is given a frame
//! that was rewritten: all compressed blocks, and of what lies between them as it is only the last
//! window's worth, which is all that a match can reach. Each block is given by itself, so that
//! what comes out is known to be its own.

use std::io;

use ::zstd::stream::raw::{Decoder as Zstd, InBuffer, Operation as _, OutBuffer};

use super::Error;
use super::frame::{self, BLOCK_HEADER, Block, Kind, MAX_BLOCK};
use super::map::{Place, Run};
use super::walk::{Outline, Segment, stride};
use crate::extent::Content;

/// Somewhat more than a block regenerates: less is left over than fits.
const ROOM: usize = MAX_BLOCK as usize + 1;

/// Where decoded bytes go.
pub(super) trait Sink {
    /// Takes what the next compressed block regenerates.
    fn take(&mut self, bytes: &[u8]) -> Result<(), Error>;
}

/// Decodes what must be, and answers where everything is and how much it is.
///
/// # Errors
///
/// When a block is damaged or cannot be read, and those of the sink.
pub(super) fn decode(
    file: &Content,
    outline: &Outline,
    sink: &mut dyn Sink,
) -> Result<(Box<[Run]>, u64), Error> {
    let mut runs = Runs::default();
    let mut frame = 0;
    for (at, segment) in outline.segments.iter().enumerate() {
        if at > 0 && matches!(segment, Segment::Frame { .. }) {
            self::frame(
                file,
                outline.segments.get(frame..at).unwrap_or_default(),
                &mut runs,
                sink,
            )?;
            frame = at;
        }
    }
    self::frame(file, outline.segments.get(frame..).unwrap_or_default(), &mut runs, sink)?;
    Ok((runs.runs.into(), runs.end))
}

/// Decodes one frame, of which `segments` begin with its header.
fn frame(
    file: &Content,
    segments: &[Segment],
    runs: &mut Runs,
    sink: &mut dyn Sink,
) -> Result<(), Error> {
    let Some((Segment::Frame { window, content }, blocks)) = segments.split_first() else {
        return Ok(());
    };
    // A window is memory: no more of it than the content can fill.
    let most = blocks.iter().fold(0, |most: u64, it| most.saturating_add(it.most()));
    let window = (*window).min(most);
    let begin = runs.end;
    let mut decoder = None;
    // The first of the blocks that the decoder has not seen.
    let mut unseen = 0;
    for (at, segment) in blocks.iter().enumerate() {
        match *segment {
            Segment::Frame { .. } => {}
            Segment::Raw { offset, size, .. } => {
                runs.push(Place::Raw { offset, size }, segment.most());
            }
            Segment::Fill { byte, .. } => runs.push(Place::Fill(byte), segment.most()),
            Segment::Packed { offset, size } => {
                let damaged = |error: io::Error| Error::damaged(offset, error.to_string());
                if decoder.is_none() {
                    decoder = Some(Decoder::new(window).map_err(damaged)?);
                }
                let Some(decoder) = &mut decoder else { continue };
                decoder.catch_up(file, blocks.get(unseen..at).unwrap_or_default(), window)?;
                unseen = at + 1;
                decoder.load(file, Kind::Packed, offset, size)?;
                let bytes = decoder.feed().map_err(damaged)?;
                match bytes.first() {
                    None => {}
                    Some(byte) if bytes.iter().all(|it| it == byte) => {
                        runs.push(Place::Fill(*byte), bytes.len() as u64);
                    }
                    Some(_) => {
                        sink.take(bytes)?;
                        runs.push_decoded(bytes.len() as u64);
                    }
                }
            }
        }
    }
    let length = runs.end - begin;
    match *content {
        Some(content) if content != length => {
            let at = blocks.iter().find_map(|it| it.offset()).unwrap_or_default();
            let problem = format!("the frame has {length} bytes, its header says {content}");
            Err(Error::damaged(at, problem))
        }
        _ => Ok(()),
    }
}

/// The decoder of one frame, and what goes in and comes out.
struct Decoder {
    zstd: Zstd<'static>,
    input: Vec<u8>,
    /// How much of the input is to be taken.
    loaded: usize,
    output: Vec<u8>,
}

impl Decoder {
    fn new(window: u64) -> io::Result<Self> {
        let (input, output) = (vec![0; BLOCK_HEADER + ROOM], vec![0; ROOM]);
        let mut decoder = Self { zstd: Zstd::new()?, input, loaded: 0, output };
        decoder.append(&frame::plain(window));
        decoder.feed()?;
        Ok(decoder)
    }

    /// Shows the decoder the last window's worth of what lies before the next compressed block.
    fn catch_up(&mut self, file: &Content, blocks: &[Segment], window: u64) -> Result<(), Error> {
        let mut reach = 0_u64;
        let first = blocks.iter().rposition(|it| {
            reach = reach.saturating_add(it.most());
            reach >= window
        });
        for segment in blocks.iter().skip(first.unwrap_or_default()) {
            let (Segment::Raw { size, count, .. } | Segment::Fill { size, count, .. }) = *segment
            else {
                continue;
            };
            // Of the first one, too, only the last blocks are within the window.
            let beyond = reach.saturating_sub(window) / u64::from(size.max(1));
            reach = 0;
            for number in beyond..u64::from(count) {
                match *segment {
                    Segment::Raw { offset, .. } => {
                        self.load(file, Kind::Raw, offset + number * stride(size), size)?;
                    }
                    Segment::Fill { byte, .. } => {
                        self.begin(Kind::Fill, size);
                        self.append(&[byte]);
                    }
                    Segment::Frame { .. } | Segment::Packed { .. } => {}
                }
                let fed = self.feed().map(|_| ());
                fed.map_err(|error| {
                    Error::damaged(segment.offset().unwrap_or_default(), error.to_string())
                })?;
            }
        }
        Ok(())
    }

    /// Makes a block the next input.
    fn load(&mut self, file: &Content, kind: Kind, offset: u64, size: u32) -> Result<(), Error> {
        self.begin(kind, size);
        let end = self.loaded.saturating_add(usize::try_from(size).unwrap_or(usize::MAX));
        let body = self
            .input
            .get_mut(self.loaded..end)
            .ok_or_else(|| Error::damaged(offset, "the block has more bytes than a block may"))?;
        self.loaded = end;
        file.read_at(body, offset).map_err(Error::Read)
    }

    /// Makes the header of a block the next input.
    fn begin(&mut self, kind: Kind, size: u32) {
        self.loaded = 0;
        // Never the last one: the decoder is to go on.
        self.append(&Block { last: false, kind, size }.to_bytes());
    }

    /// Adds a few bytes to the next input.
    fn append(&mut self, bytes: &[u8]) {
        let places = self.input.iter_mut().skip(self.loaded);
        places.zip(bytes).for_each(|(place, byte)| *place = *byte);
        self.loaded += bytes.len();
    }

    /// Gives all of the input, and answers what comes out.
    fn feed(&mut self) -> io::Result<&[u8]> {
        let mut input = InBuffer::around(self.input.get(..self.loaded).unwrap_or_default());
        let mut made = 0;
        loop {
            let room = self.output.get_mut(made..).unwrap_or_default();
            if room.is_empty() {
                return Err(io::Error::other("the block has more bytes than a block may"));
            }
            let before = input.pos();
            let mut output = OutBuffer::around(room);
            self.zstd.run(&mut input, &mut output)?;
            let more = output.pos();
            made += more;
            let done = input.pos() == self.loaded;
            if done && made < ROOM {
                return Ok(self.output.get(..made).unwrap_or_default());
            }
            if input.pos() == before && more == 0 {
                return Err(io::Error::other("the decoder does not take the block"));
            }
        }
    }
}

/// Runs in the making.
#[derive(Default)]
struct Runs {
    runs: Vec<Run>,
    /// Where the next one begins.
    end: u64,
    /// How many bytes were decoded.
    decoded: u64,
}

impl Runs {
    fn push(&mut self, place: Place, length: u64) {
        let joins = matches!(
            (self.runs.last(), place),
            (Some(Run { place: Place::Fill(before), .. }), Place::Fill(byte)) if *before == byte
        );
        if !joins {
            self.runs.push(Run { at: self.end, place });
        }
        self.end = self.end.saturating_add(length);
    }

    fn push_decoded(&mut self, length: u64) {
        let adjacent = matches!(self.runs.last(), Some(Run { place: Place::Decoded(_), .. }));
        if !adjacent {
            self.runs.push(Run { at: self.end, place: Place::Decoded(self.decoded) });
        }
        self.end = self.end.saturating_add(length);
        self.decoded += length;
    }
}
