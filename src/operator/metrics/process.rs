//! What the system says of the process.

use std::fmt;

use prometheus_client::encoding::DescriptorEncoder;

use super::families::{PROCESS_CPU, PROCESS_FDS, PROCESS_MEMORY, PROCESS_START};
use super::samples::family;
use super::{LiveNode, count, unix_seconds};
use crate::system::{cpu_time, open_files, resident_bytes};

pub(super) fn encode(encoder: &mut DescriptorEncoder<'_>, shown: &LiveNode) -> fmt::Result {
    family(encoder, &PROCESS_START)?.gauge([], unix_seconds(shown.started_at))?;
    if let Some(bytes) = resident_bytes() {
        #[expect(clippy::cast_precision_loss, reason = "as precise as anybody needs it")]
        family(encoder, &PROCESS_MEMORY)?.gauge([], bytes as f64)?;
    }
    if let Some(files) = open_files() {
        family(encoder, &PROCESS_FDS)?.gauge([], count(files))?;
    }
    family(encoder, &PROCESS_CPU)?.count_seconds(cpu_time().as_secs_f64())
}
