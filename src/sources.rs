//! Where bars come from. A source delivers bars as it has them; judging them is left to `clean`.

pub mod csv;
pub mod replay;
pub mod replay_time;
pub mod survey;
