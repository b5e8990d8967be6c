//! Writes the samples of one metric after the other. Escaping and format are the encoder's.

use std::fmt;

use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use sentinel_actors::meters::{BOUNDS_MS, Counted};

use super::families::{Family, Kind};

/// The samples of one metric.
pub(super) struct Samples<'a> {
    family: &'static Family,
    encoder: MetricEncoder<'a>,
}

/// Begins a metric.
pub(super) fn family<'a>(
    encoder: &'a mut DescriptorEncoder<'_>,
    family: &'static Family,
) -> Result<Samples<'a>, fmt::Error> {
    let encoder = encoder.encode_descriptor(family.base(), family.help, None, family.kind.as_type())?;
    Ok(Samples { family, encoder })
}

impl Samples<'_> {
    /// A counter's sample. The values are those of the family's labels, in their order.
    pub(super) fn count<const N: usize>(&mut self, labels: [&str; N], value: u64) -> fmt::Result {
        debug_assert_eq!(self.family.kind, Kind::Counter, "{}", self.family.name);
        self.labelled(labels, |encoder| encoder.encode_counter::<NoLabelSet, _, f64>(&value, None))
    }

    /// The same, of a counter of time.
    pub(super) fn count_seconds(&mut self, value: f64) -> fmt::Result {
        debug_assert_eq!(self.family.kind, Kind::Counter, "{}", self.family.name);
        self.encoder.encode_counter::<NoLabelSet, _, f64>(&value, None)
    }

    /// A gauge's sample.
    pub(super) fn gauge<const N: usize>(&mut self, labels: [&str; N], value: f64) -> fmt::Result {
        debug_assert_eq!(self.family.kind, Kind::Gauge, "{}", self.family.name);
        self.labelled(labels, |encoder| encoder.encode_gauge(&value))
    }

    /// A histogram's samples.
    pub(super) fn histogram<const N: usize>(&mut self, labels: [&str; N], counted: &Counted) -> fmt::Result {
        debug_assert_eq!(self.family.kind, Kind::Histogram, "{}", self.family.name);
        let bounds = BOUNDS_MS.iter().map(|ms| seconds(*ms)).chain([f64::INFINITY]);
        let buckets: Vec<(f64, u64)> = bounds.zip(counted.buckets).collect();
        let count = counted.buckets.iter().sum();
        let sum = counted.sum.as_secs_f64();
        self.labelled(labels, |encoder| encoder.encode_histogram::<NoLabelSet>(sum, count, &buckets, None))
    }

    fn labelled<const N: usize>(
        &mut self,
        values: [&str; N],
        write: impl FnOnce(&mut MetricEncoder<'_>) -> fmt::Result,
    ) -> fmt::Result {
        debug_assert_eq!(self.family.labels.len(), N, "{}", self.family.name);
        if N == 0 {
            return write(&mut self.encoder);
        }
        let mut names = self.family.labels.iter().copied();
        let labels = values.map(|value| (names.next().unwrap_or_default(), value));
        let mut encoder = self.encoder.encode_family(&labels)?;
        write(&mut encoder)
    }
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
fn seconds(ms: u64) -> f64 {
    ms as f64 / 1_000.0
}
