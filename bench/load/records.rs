//! How much plaintext TLS records hold, told by their headers: nothing is decrypted.

/// The header of a record: its kind, a version, its length.
const HEADER: usize = 5;
/// What TLS 1.3 adds to the plaintext of a record: its inner kind and the tag of AES-GCM.
const ADDED: usize = 17;

/// Where in the stream of records we are.
#[derive(Debug, Default)]
pub(super) struct Records {
    header: [u8; HEADER],
    /// Bytes of the header that have come.
    begun: usize,
    /// Bytes of the record that are still to come.
    left: usize,
}

impl Records {
    /// Takes bytes that came; returns the plaintext of the records that begin in them.
    pub(super) fn take(&mut self, mut bytes: &[u8]) -> u64 {
        let mut plain = 0;
        while let Some((first, rest)) = bytes.split_first() {
            if self.left > 0 {
                let within = self.left.min(bytes.len());
                self.left -= within;
                bytes = bytes.get(within..).unwrap_or_default();
                continue;
            }
            if let Some(place) = self.header.get_mut(self.begun) {
                *place = *first;
            }
            self.begun += 1;
            bytes = rest;
            if self.begun == HEADER {
                let [.., high, low] = self.header;
                self.left = usize::from(u16::from_be_bytes([high, low]));
                self.begun = 0;
                plain += self.left.saturating_sub(ADDED) as u64;
            }
        }
        plain
    }

    /// Whether all records that have begun have come to their ends.
    pub(super) fn is_between(&self) -> bool {
        self.left == 0 && self.begun == 0
    }
}
