//! The blocks of an image that were decompressed last, up to a number of bytes.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Where a compressed block is in the image, and its size there.
pub(super) type Key = (u64, u32);

/// How many blocks of one image are decompressed at a time.
const TURNS: usize = 16;

/// Decompressed blocks; those used last stay.
#[derive(Debug)]
pub(super) struct Cache {
    kept: Mutex<Kept>,
    turns: [Mutex<()>; TURNS],
}

#[derive(Debug)]
struct Kept {
    /// The bytes still free.
    room: usize,
    clock: u64,
    blocks: HashMap<Key, (u64, Arc<[u8]>)>,
    /// The blocks by the time of their last use.
    ages: BTreeMap<u64, Key>,
}

impl Cache {
    /// A cache of at most `room` bytes.
    pub(super) fn new(room: usize) -> Self {
        let (blocks, ages) = (HashMap::new(), BTreeMap::new());
        let kept = Mutex::new(Kept { room, clock: 0, blocks, ages });
        Self { kept, turns: Default::default() }
    }

    /// The block of `key`, made once even when several want it at the same time.
    pub(super) fn get<E>(
        &self,
        key: Key,
        make: impl FnOnce() -> Result<Arc<[u8]>, E>,
    ) -> Result<Arc<[u8]>, E> {
        if let Some(block) = lock(&self.kept).take(key) {
            return Ok(block);
        }
        let turn = usize::try_from(key.0 % TURNS as u64).ok();
        let _turn = turn.and_then(|turn| self.turns.get(turn)).map(lock);
        if let Some(block) = lock(&self.kept).take(key) {
            return Ok(block);
        }
        let block = make()?;
        lock(&self.kept).keep(key, &block);
        Ok(block)
    }
}

/// Nothing is left half done by what may panic under these locks.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Kept {
    fn take(&mut self, key: Key) -> Option<Arc<[u8]>> {
        self.clock += 1;
        let (age, block) = self.blocks.get_mut(&key)?;
        self.ages.remove(age);
        self.ages.insert(self.clock, key);
        *age = self.clock;
        Some(Arc::clone(block))
    }

    fn keep(&mut self, key: Key, block: &Arc<[u8]>) {
        while self.room < block.len() {
            let Some((_, oldest)) = self.ages.pop_first() else { return };
            if let Some((_, block)) = self.blocks.remove(&oldest) {
                self.room += block.len();
            }
        }
        self.room -= block.len();
        self.clock += 1;
        self.ages.insert(self.clock, key);
        self.blocks.insert(key, (self.clock, Arc::clone(block)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    #[test]
    fn the_bytes_kept_are_bounded_and_the_last_used_stay() {
        let cache = Cache::new(100);
        let get = |key, size: usize| {
            let mut made = false;
            let block = cache.get((key, 0), || {
                made = true;
                Ok::<_, Infallible>(vec![0; size].into())
            });
            assert_eq!(block.unwrap().len(), size);
            made
        };
        assert!(get(1, 40) && get(2, 40) && !get(1, 40));
        assert!(get(3, 40), "2 must go");
        assert!(!get(1, 40) && !get(3, 40) && get(2, 40));
        assert!(get(4, 101) && get(4, 101), "too large to keep");
        assert!(cache.get((9, 0), || Err(())).is_err());
        let kept = lock(&cache.kept);
        let held: usize = kept.blocks.values().map(|(_, block)| block.len()).sum();
        assert_eq!((kept.room + held, kept.ages.len()), (100, kept.blocks.len()));
    }

    #[test]
    fn many_make_a_block_once() {
        let (cache, made) = (Cache::new(100), AtomicUsize::new(0));
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for key in 0..50 {
                        let block = cache.get((key, 0), || {
                            made.fetch_add(1, Ordering::Relaxed);
                            thread::yield_now();
                            Ok::<_, Infallible>(vec![1].into())
                        });
                        assert_eq!(*block.unwrap(), [1]);
                    }
                });
            }
        });
        assert_eq!(made.into_inner(), 50);
    }
}
