//! What of some rows is given to a taker? Each line that is open and of a stream that is wanted; where lines only count, one for all of a set.

use std::borrow::Cow;

use causeway_logql::{Entry, Lines, Span, Taker};
use causeway_model::Result;

use crate::columns::Shape;
use crate::read::{Rows, Streams};
use crate::sets::Sets;

/// Lines after which it is asked whether anybody still waits. 64: a pipeline may make 16 MiB of each.
const LINES_UNASKED: usize = 64;

/// Names and values of what stands beside a line.
type Metadata<'r> = Vec<(Cow<'r, str>, Cow<'r, str>)>;

/// Gives to one taker.
pub(crate) struct Giver<'a> {
    wanted: &'a Lines<'a>,
    streams: Streams,
    sets: Sets,
    /// Of the rows that are given the places of their sets.
    places: Vec<u32>,
    counted: Counted,
    /// Lines that were given since somebody was asked.
    unasked: usize,
}

/// How many rows each set has, by its place; each set that has any, with its first row.
#[derive(Default)]
struct Counted {
    counts: Vec<u32>,
    met: Vec<(u32, usize)>,
}

impl Counted {
    fn add(&mut self, place: u32, row: usize) {
        let at = place as usize;
        if at >= self.counts.len() {
            self.counts.resize(at + 1, 0);
        }
        if let Some(count) = self.counts.get_mut(at) {
            if *count == 0 {
                self.met.push((place, row));
            }
            *count += 1;
        }
    }

    /// The next set, its first row and how many rows it has; it is forgotten.
    fn pop(&mut self) -> Option<(u32, usize, u32)> {
        let (place, row) = self.met.pop()?;
        let count = self.counts.get_mut(place as usize).map_or(0, std::mem::take);
        Some((place, row, count))
    }
}

impl<'a> Giver<'a> {
    pub(crate) fn new(wanted: &'a Lines<'a>) -> Self {
        let (streams, sets, counted) = (Streams::default(), Sets::default(), Counted::default());
        Self { wanted, streams, sets, places: Vec::new(), counted, unasked: 0 }
    }

    /// Gives the lines of some rows; says which time is open then.
    pub(crate) fn give(
        &mut self,
        taker: &mut Taker<'_>,
        shape: &Shape,
        rows: &Rows<'_>,
        mut open: Span,
    ) -> Result<Span> {
        let mut places = std::mem::take(&mut self.places);
        let told_apart = self.sets.place(shape, rows, &mut places);
        let mut metadata = Vec::new();
        let mut piece = Span::NONE;
        for row in 0..rows.len() {
            let time_ns = rows.time(row);
            if !open.contains(time_ns) {
                continue;
            }
            let place = places.get(row).filter(|_| told_apart).copied();
            match (place, self.wanted.together) {
                (Some(place), Some(piece_of)) => {
                    if !piece.contains(time_ns) {
                        open = self.give_counted(taker, rows, &mut metadata, open)?;
                        piece = piece_of(time_ns);
                    }
                    self.counted.add(place, row);
                }
                _ => open = self.give_row(taker, (rows, row), (place, 1), &mut metadata)?.unwrap_or(open),
            }
        }
        self.places = places;
        self.give_counted(taker, rows, &mut metadata, open)
    }

    fn give_counted<'r>(
        &mut self,
        taker: &mut Taker<'_>,
        rows: &Rows<'r>,
        metadata: &mut Metadata<'r>,
        mut open: Span,
    ) -> Result<Span> {
        while let Some((place, row, count)) = self.counted.pop() {
            open = self.give_row(taker, (rows, row), (Some(place), count), metadata)?.unwrap_or(open);
        }
        Ok(open)
    }

    /// Gives a row's line, for so many of its set; says what is open then, `None` where the line is not wanted.
    fn give_row<'r>(
        &mut self,
        taker: &mut Taker<'_>,
        (rows, row): (&Rows<'r>, usize),
        (place, count): (Option<u32>, u32),
        metadata: &mut Metadata<'r>,
    ) -> Result<Option<Span>> {
        self.unasked += 1;
        if self.unasked >= LINES_UNASKED {
            self.unasked = 0;
            (self.wanted.interrupted)()?;
        }
        let (time_ns, text, number) = (rows.time(row), rows.body(row), rows.number(row));
        // Within many rows, too, no more is remembered than may be; the next rows let go of it.
        if let Some(place) = place.filter(|_| !self.sets.is_full()) {
            let labels = self.sets.labels(place, (rows, row), (&mut self.streams, self.wanted.matchers))?;
            let Some((set, (stream, metadata))) = labels else { return Ok(None) };
            return taker(Entry { time_ns, text, stream, metadata, set: Some(set), count, number }).map(Some);
        }
        let Some(stream) = self.streams.matching(rows, row, self.wanted.matchers) else { return Ok(None) };
        rows.metadata(row, metadata)?;
        taker(Entry { time_ns, text, stream, metadata, set: None, count, number }).map(Some)
    }
}
