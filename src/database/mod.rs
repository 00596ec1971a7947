//! One replicated database: which pages have changed, and what is remembered across restarts.

mod page_set;
mod state;
mod sums;

pub use page_set::PageSet;
pub use state::{DestinationState, Durability, LevelState, Mark, Remembered, State, StateFile};
pub use sums::PageSums;
