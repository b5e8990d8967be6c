//! What leaves while the disk is nearly full, and what goes on all the same.

use sentinel_actors::domain::decision::DecideOn;
use sentinel_actors::domain::decision::OnOpposite;
use sentinel_actors::domain::forecast::ForecastPolicy;
use sentinel_actors::domain::node_view::DiskView;
use sentinel_actors::domain::order::Role;
use sentinel_actors::domain::reason::Reason;
use sentinel_actors::ports::DiskSpace;

use crate::harness::{HOUR, World};
use crate::test_pipeline::settings;

const SELL: [f64; 3] = [0.7, 0.2, 0.1];

impl DiskSpace for World {
    fn measured(&self) -> Option<DiskView> {
        self.lock().disk
    }
}

/// A disk of which so many thousandths are free.
const fn free(thousandths: u64) -> Option<DiskView> {
    Some(DiskView { free_mb: thousandths, size_mb: 1_000 })
}

fn roles(world: &World) -> Vec<bool> {
    world.lock().left.iter().map(|(order, ..)| order.role == Role::Open).collect()
}

#[tokio::test(start_paused = true)]
async fn nothing_is_opened_below_5_percent_and_it_goes_on_when_there_is_room() {
    let world = World::new().with(|inner| inner.disk = free(49));
    let _node = world.run(settings(), 2 * HOUR).await;
    assert_eq!((world.reasons(), world.left()), (vec![Reason::DiskLow; 2], 0));
    assert!(world.lock().intents.is_empty(), "nothing is planned either");
    assert!(world.lock().rows.values().all(|row| row.detail.contains("49 MB of 1000 MB are free")));
    world.lock().disk = free(50);
    tokio::time::sleep(HOUR).await;
    assert_eq!((world.reasons().pop(), world.left()), (Some(Reason::OrderAcked), 1));
}

#[tokio::test(start_paused = true)]
async fn a_position_is_closed_on_a_full_disk_and_none_is_opened_in_its_place() {
    let world = World::new();
    let mut reversing = settings();
    reversing.policy.on_opposite = OnOpposite::Reverse;
    let _node = world.run(reversing, HOUR).await;
    {
        let mut inner = world.lock();
        (inner.disk, inner.answer) = (free(0), Ok(SELL.to_vec()));
    }
    tokio::time::sleep(2 * HOUR).await;
    assert_eq!(roles(&world), [true, false], "the position is closed, and stays closed");
    assert_eq!(world.reasons(), [Reason::OrderAcked, Reason::OrderAcked, Reason::DiskLow]);
}

#[tokio::test(start_paused = true)]
async fn a_forecast_leaves_only_while_there_is_room_on_the_disk() {
    let world = World::new().with(|inner| (inner.answer, inner.disk) = (Ok(vec![0.01]), free(10)));
    let mut forecasting = settings();
    forecasting.forecasts = Some(ForecastPolicy { horizon: 168 * HOUR, max_abs: 1.5, decide_on: DecideOn::Bar });
    let _node = world.run(forecasting, HOUR).await;
    world.lock().disk = None;
    tokio::time::sleep(HOUR).await;
    assert_eq!(world.reasons(), [Reason::DiskLow, Reason::ForecastAcked]);
}
