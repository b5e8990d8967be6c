//! A disk that is nearly full: nothing new reaches the gateway, and it goes on when there is room again.

use std::fs;

use super::config::Site;
use super::facts::Facts;
use super::gateway::{free_port, gateway, order_count};

#[test]
fn no_order_reaches_the_gateway_below_5_percent_of_free_disk_and_they_go_on_with_more() {
    let port = free_port();
    let site = Site::new().with_model_pair("root_fx23").through_gateway(port).with("speed = \"max\"", "speed = 40");
    let _gateway = gateway(site.path(), port, &[]);
    let disk = site.path().join("disk");
    fs::write(&disk, "49000000 1000000000").unwrap();
    let mut node = site.start_live(&["--disk-from", disk.to_str().unwrap()]);
    let state = site.state();
    let is_low = |reason: &str| reason == "disk_low";
    let low = || Facts::rows_so_far(&state) > 0 && Facts::slots(&state).iter().any(|slot| is_low(&slot.reason));
    node.wait_for("slot that the disk kept here", |_| low());
    assert_eq!(order_count(site.path()), 0);
    let detail = Facts::slots(&state).into_iter().find(|slot| is_low(&slot.reason)).unwrap().detail;
    assert!(detail.contains("49 MB of 1000 MB are free"), "{detail}");
    fs::write(&disk, "50000000 1000000000").unwrap();
    node.wait_for("order", |_| order_count(site.path()) > 0);
}
