//! A set of pages: one bit each. Dirty sets are this.
//!
//! # Dirty sets
//!
//! For each destination, `dirty` holds the pages that have changed since the TXID the storage last confirmed.
//! To sync is to write those pages, as they are now, into the next LTX file. That is right because such
//! a file may hold any superset of the changed pages, as long as all of them have the content of one state.
//! So sets only ever grow by mistake, never shrink: a page leaves the set when a file with it was confirmed,
//! and comes back when the upload failed.

use crate::sqlite::Changes;
use crate::units::{PageCount, PageNumber};

const WORD_BITS: u32 = u64::BITS;

/// A set of page numbers. Takes one bit for each page up to the highest.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct PageSet {
    /// Bit `n % 64` of word `n / 64` stands for page `n + 1`. The last word is never zero.
    words: Vec<u64>,
}

impl PageSet {
    /// The set of all pages of a database of `pages` pages.
    pub fn all(pages: PageCount) -> PageSet {
        let mut set = PageSet::default();
        if let Some(last) = PageNumber::new(pages.0) {
            set.insert_range(PageNumber::FIRST, last);
        }
        set
    }

    /// Adds the pages from `first` to `last`, both included.
    pub fn insert_range(&mut self, first: PageNumber, last: PageNumber) {
        if last < first {
            return;
        }
        let (first, last) = (first.value() - 1, last.value() - 1);
        let (low, high) = ((first / WORD_BITS) as usize, (last / WORD_BITS) as usize);
        if self.words.len() <= high {
            self.words.resize(high + 1, 0);
        }
        let from_first = u64::MAX << (first % WORD_BITS);
        let to_last = u64::MAX >> (WORD_BITS - 1 - last % WORD_BITS);
        if low == high {
            self.words[low] |= from_first & to_last;
        } else {
            self.words[low] |= from_first;
            self.words[low + 1..high].fill(u64::MAX);
            self.words[high] |= to_last;
        }
    }

    /// Adds one page.
    pub fn insert(&mut self, page: PageNumber) {
        self.insert_range(page, page);
    }

    /// Adds every page of `other`.
    pub fn union(&mut self, other: &PageSet) {
        if self.words.len() < other.words.len() {
            self.words.resize(other.words.len(), 0);
        }
        for (word, more) in self.words.iter_mut().zip(&other.words) {
            *word |= more;
        }
    }

    /// Whether `page` is in the set.
    pub fn contains(&self, page: PageNumber) -> bool {
        let index = page.value() - 1;
        let word = self.words.get((index / WORD_BITS) as usize);
        word.is_some_and(|word| word >> (index % WORD_BITS) & 1 == 1)
    }

    /// Whether no page is in the set.
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// How many pages are in the set.
    pub fn len(&self) -> u64 {
        self.words
            .iter()
            .map(|word| u64::from(word.count_ones()))
            .sum()
    }

    /// The pages in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = PageNumber> + '_ {
        self.words.iter().enumerate().flat_map(|(index, &word)| {
            let base = index as u32 * WORD_BITS;
            Bits(word).filter_map(move |bit| PageNumber::new(base + bit + 1))
        })
    }

    /// The runs of neighbouring pages, each as first and last page, in ascending order.
    pub fn runs(&self) -> Vec<(PageNumber, PageNumber)> {
        let mut runs: Vec<(PageNumber, PageNumber)> = Vec::new();
        for page in self.iter() {
            match runs.last_mut() {
                Some((_, last)) if last.value() + 1 == page.value() => *last = page,
                _ => runs.push((page, page)),
            }
        }
        runs
    }
}

impl Changes for PageSet {
    fn changed(&mut self, first: PageNumber, last: PageNumber) {
        self.insert_range(first, last);
    }
}

/// The set bits of a word, lowest first.
struct Bits(u64);

impl Iterator for Bits {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        if self.0 == 0 {
            return None;
        }
        let bit = self.0.trailing_zeros();
        self.0 &= self.0 - 1;
        Some(bit)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn page(number: u32) -> PageNumber {
        PageNumber::new(number).unwrap()
    }

    proptest! {
        #[test]
        fn behaves_as_a_set_of_numbers(
            ranges in prop::collection::vec((1_u32..500, 0_u32..200), 0..20),
            others in prop::collection::vec(1_u32..800, 0..20),
        ) {
            let (mut set, mut model) = (PageSet::default(), BTreeSet::new());
            for (first, length) in ranges {
                set.insert_range(page(first), page(first + length));
                model.extend(first..=first + length);
            }
            let mut other = PageSet::default();
            for &number in &others {
                other.insert(page(number));
            }
            set.union(&other);
            model.extend(&others);
            let pages: Vec<u32> = set.iter().map(PageNumber::value).collect();
            prop_assert_eq!(pages, model.iter().copied().collect::<Vec<_>>());
            prop_assert_eq!(set.len(), model.len() as u64);
            prop_assert_eq!(set.is_empty(), model.is_empty());
            for number in 1..=800 {
                prop_assert_eq!(set.contains(page(number)), model.contains(&number));
            }
            let mut again = PageSet::default();
            for (first, last) in set.runs() {
                again.insert_range(first, last);
            }
            prop_assert_eq!(again, set);
        }
    }

    #[test]
    fn the_last_page_there_can_be() {
        let mut set = PageSet::default();
        set.insert(page(u32::MAX));
        assert_eq!(
            set.iter().map(PageNumber::value).collect::<Vec<_>>(),
            [u32::MAX]
        );
    }

    #[test]
    fn all_pages_of_nothing_are_none() {
        assert!(PageSet::all(PageCount(0)).is_empty());
        assert_eq!(PageSet::all(PageCount(65)).len(), 65);
    }
}
