//! Variable-length integers of the page index: seven bits a byte, the lowest first; the high bit says that
//! another byte follows. A u64 takes at most ten bytes.

/// The most bytes a u64 takes.
pub(super) const BYTES_MAX: usize = 10;

/// A number in its shortest form.
pub(super) struct Varint {
    bytes: [u8; BYTES_MAX],
    length: usize,
}

impl Varint {
    pub(super) fn new(mut number: u64) -> Varint {
        let mut bytes = [0; BYTES_MAX];
        let mut length = 0;
        while number >= 0x80 {
            bytes[length] = number as u8 | 0x80;
            number >>= 7;
            length += 1;
        }
        bytes[length] = number as u8;
        Varint {
            bytes,
            length: length + 1,
        }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

/// A number being read byte by byte.
#[derive(Default)]
pub(super) struct Partial {
    number: u64,
    length: u32,
}

/// What a further byte made of a [`Partial`].
pub(super) enum Step {
    /// Another byte follows.
    More,
    /// The number is complete.
    Done(u64),
    /// The number does not fit 64 bits.
    TooLong,
}

impl Partial {
    pub(super) fn push(&mut self, byte: u8) -> Step {
        let bits = u64::from(byte & 0x7f);
        let shift = 7 * self.length;
        if shift > 63 || (shift == 63 && bits > 1) {
            return Step::TooLong;
        }
        self.number |= bits << shift;
        self.length += 1;
        if byte & 0x80 == 0 {
            Step::Done(self.number)
        } else {
            Step::More
        }
    }
}

/// Takes one number off `rest`; none when it ends within one or the number does not fit 64 bits.
pub(super) fn take(rest: &mut &[u8]) -> Option<u64> {
    let mut partial = Partial::default();
    loop {
        match partial.push(*rest.split_off_first()?) {
            Step::More => {}
            Step::Done(number) => return Some(number),
            Step::TooLong => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers() {
        assert_eq!(Varint::new(0).bytes(), [0]);
        assert_eq!(Varint::new(100).bytes(), [0x64]);
        assert_eq!(Varint::new(237).bytes(), [0xed, 0x01]);
        assert_eq!(Varint::new(300).bytes(), [0xac, 0x02]);
        assert_eq!(Varint::new(u64::MAX).bytes().len(), BYTES_MAX);
    }

    #[test]
    fn every_length_is_read_back() {
        for shift in 0..64 {
            for number in [1u64 << shift, (1u64 << shift) - 1, u64::MAX >> shift] {
                let varint = Varint::new(number);
                let mut rest = varint.bytes();
                assert_eq!(take(&mut rest), Some(number));
                assert!(rest.is_empty());
            }
        }
    }

    #[test]
    fn unfinished_and_oversized_numbers_are_none() {
        assert_eq!(take(&mut &[][..]), None);
        assert_eq!(take(&mut &[0x80, 0x80][..]), None);
        let mut two = [0x80; 10];
        two[9] = 2;
        assert_eq!(take(&mut &two[..]), None);
        assert_eq!(take(&mut &[0x80; 11][..]), None);
    }
}
