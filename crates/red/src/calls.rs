//! Who called whom? The two ends of a call are spans of two services that arrive in any order: the first waits for the second.

use std::collections::VecDeque;
use std::sync::Arc;

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;

use causeway_meters::{Meters, Observation, SpanKey};

use crate::CALL;
use crate::spans::{Kind, Seen};

/// Calls of which an end waits, or whose caller's span is kept for more that were called. 50,000: 5,000 calls a second, some 10 MB.
const WAITING_MAX: usize = 50_000;
/// For how long an end waits for the other, in nanoseconds. 10 s: senders hand over batches every few seconds.
const WAIT_NS: u64 = 10_000_000_000;
/// Who calls a service whose span is the root of its trace.
pub const USER: &str = "user";
/// The kind of a connection to something without spans of its own.
const VIRTUAL: &str = "virtual_node";

/// One end of a call.
#[derive(Debug)]
struct End {
    service: Arc<str>,
    seconds: Option<f64>,
    failed: bool,
    weight: f64,
    key: SpanKey,
    end: i64,
    /// Of the caller's end: how it names the other, and what kind of thing that is.
    other: Option<(Box<str>, &'static str)>,
    is_client: bool,
    /// Whether it was counted with the other end already: more may come, such as the consumers of one message.
    is_paired: bool,
    /// The monotonic time at which it gives up.
    deadline: u64,
}

/// Ends that wait for the other one.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    waiting: HashMap<SpanKey, End>,
    /// One for each that waits, in the order of arrival, with the monotonic time at which it gives up.
    deadlines: VecDeque<(u64, SpanKey)>,
    /// Ends of calls that were counted by what the caller said, or not at all, as too many were waiting.
    pub crowded: u64,
    /// Called ends that no caller came for.
    pub unclaimed: u64,
}

impl Calls {
    /// Counts the call of which this is an end, once the other end is known or is known not to come.
    pub fn observe(&mut self, seen: &Seen<'_>, now: u64, meters: &mut Meters) {
        let (key, is_client) = match (seen.kind, seen.parent) {
            (Kind::Client | Kind::Producer, _) => (seen.key, true),
            (Kind::Server | Kind::Consumer, Some(parent)) => ((seen.key.0, parent), false),
            (Kind::Server | Kind::Consumer, None) => return count(None, Some(&end_of(seen, false)), meters),
            (Kind::Internal, _) => return,
        };
        let mut end = end_of(seen, is_client);
        end.deadline = now.saturating_add(WAIT_NS);
        // A database has no spans: nobody would come.
        if is_client && seen.system.is_some_and(|(_, is_database)| is_database) {
            return count(Some(&end), None, meters);
        }
        let crowded = self.waiting.len() >= WAITING_MAX;
        match self.waiting.entry(key) {
            Entry::Occupied(mut entry) if entry.get().is_client && !is_client => {
                entry.get_mut().is_paired = true;
                count(Some(entry.get()), Some(&end), meters);
            }
            Entry::Occupied(mut entry) if is_client && !entry.get().is_client => {
                count(Some(&end), Some(entry.get()), meters);
                (end.is_paired, end.deadline) = (true, entry.get().deadline);
                entry.insert(end);
            }
            // The same span once more, from a sender that repeats itself.
            Entry::Occupied(entry) if entry.get().key == end.key => {}
            // One more that was called, before the caller's span came.
            Entry::Occupied(_) => self.unclaimed += 1,
            Entry::Vacant(_) if crowded => {
                self.crowded += 1;
                if is_client {
                    count(Some(&end), None, meters);
                }
            }
            Entry::Vacant(entry) => {
                self.deadlines.push_back((end.deadline, key));
                entry.insert(end);
            }
        }
    }

    /// Gives up on those that waited long enough.
    pub fn expire(&mut self, now: u64, meters: &mut Meters) {
        while self.deadlines.front().is_some_and(|(deadline, _)| *deadline <= now) {
            let Some((_, key)) = self.deadlines.pop_front() else { break };
            match self.waiting.remove(&key) {
                Some(end) if end.is_paired => {}
                Some(end) if end.is_client => count(Some(&end), None, meters),
                Some(_) => self.unclaimed += 1,
                None => {}
            }
        }
    }

    /// How many ends wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }
}

fn end_of(seen: &Seen<'_>, is_client: bool) -> End {
    let other = match (seen.target, seen.system) {
        (Some(target), Some((_, true))) => Some((target, "database")),
        (Some(name), _) | (None, Some((name, false))) if seen.kind == Kind::Producer => {
            Some((name, "messaging_system"))
        }
        (Some(target), _) => Some((target, VIRTUAL)),
        (None, Some((system, is_database))) => Some((system, if is_database { "database" } else { VIRTUAL })),
        (None, None) => None,
    };
    End {
        service: Arc::clone(seen.service),
        seconds: seen.seconds,
        failed: seen.failed(),
        weight: seen.weight,
        key: seen.key,
        end: seen.end,
        other: other.filter(|_| is_client).map(|(name, kind)| (name.into(), kind)),
        is_client,
        is_paired: false,
        deadline: 0,
    }
}

fn count(client: Option<&End>, server: Option<&End>, meters: &mut Meters) {
    let (from, to, kind) = match (client, server) {
        (Some(client), Some(server)) => {
            let messaging = client.other.as_ref().is_some_and(|(_, kind)| *kind == "messaging_system");
            (&*client.service, &*server.service, if messaging { "messaging_system" } else { "" })
        }
        (Some(client), None) => match &client.other {
            Some((name, kind)) => (&*client.service, &**name, *kind),
            // A call to nobody knows whom.
            None => return,
        },
        (None, Some(server)) => (USER, &*server.service, VIRTUAL),
        (None, None) => return,
    };
    let ends = [client, server];
    let known = || ends.into_iter().flatten();
    let weight = known().map(|end| end.weight).fold(1.0, f64::max);
    meters.observe(&Observation {
        family: &CALL,
        values: &[from, to, kind],
        counts: [weight, if known().any(|end| end.failed) { weight } else { 0.0 }],
        seconds: ends.map(|end| end.and_then(|end| end.seconds)),
        span: known().next().map(|end| (end.key, end.end)),
    });
}
