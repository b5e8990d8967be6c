//! How full the disk is on which the node keeps its records.

use crate::domain::node_view::DiskView;

/// Asked before every effect of a live pipeline that opens a position, or is a forecast.
pub trait DiskSpace: Send + Sync {
    /// As last measured; `None` before, and where it cannot be measured. Cheap: it is asked on a worker's thread.
    fn measured(&self) -> Option<DiskView>;
}

/// Of tests, and of commands without a node: it is not measured, and keeps nothing here.
#[derive(Debug, Clone, Copy, Default)]
pub struct UnmeasuredDisk;

impl DiskSpace for UnmeasuredDisk {
    fn measured(&self) -> Option<DiskView> {
        None
    }
}
