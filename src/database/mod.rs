//! One replicated database: which pages have changed, and what is remembered across restarts.

mod page_set;
mod state;
mod sums;
mod sums_file;

pub use page_set::PageSet;
pub use state::{DestinationState, Durability, LevelState, Mark, Remembered, State, StateFile};
pub use sums::{OnDisk, PageSums, SumsAt, SumsState};
pub use sums_file::SumsFile;
