//! Where orders go. Each adapter implements [`sentinel_actors::ports::Venue`].
