//! What a node has done in a range of time, as one document and as tables.
//!
//! Promises kept: what is not known is said to be unknown, and never counted as nothing. Bars that a model was trained on are apart from
//! those that it never saw. The cost in memory does not grow with the number of slots: rows are visited one after the other, and what is
//! listed has a limit that is said. Nothing here reads a venue or a configuration; the command line hands over what they say.
//!
//! * [`scores`], [`outages`], [`spread`], [`part`]: what is computed. They know no journal.
//! * [`summary`]: what is kept of the rows while they pass. [`facts`]: what else is shown.
//! * [`tables`]: the same rows as files for a spreadsheet. [`document`] and its parts: the page that is read.

mod charts;
pub mod document;
pub mod facts;
pub mod outages;
pub mod part;
pub mod scores;
pub mod spread;
pub mod summary;
pub mod tables;
pub mod thinned;
