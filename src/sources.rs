//! Where bars come from. A source delivers bars as it has them; judging them is left to `clean`.

pub mod cache;
pub mod csv;
pub mod live;
pub mod replay;
pub mod replay_time;
pub mod review;
pub mod series;
pub mod survey;
pub mod vendor;
