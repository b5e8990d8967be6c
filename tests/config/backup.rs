//! `[backup]`: off without its section, and every mistake is said.

use super::*;

fn with_backup(lines: &str) -> String {
    format!("{MINIMAL}\n[backup]\n{lines}")
}

#[test]
fn without_the_section_there_is_no_backup_and_with_it_seven_are_kept() {
    assert_eq!(read(MINIMAL).unwrap().backup, None);
    let backup = read(&with_backup("daily_at = \"03:30\"\ndir = \"kept\"\n")).unwrap().backup.unwrap();
    assert_eq!((backup.daily_at.hour(), backup.daily_at.minute(), backup.keep), (3, 30, 7));
    assert!(backup.dir.ends_with("kept") && backup.dir != std::path::Path::new("kept"), "beside the file: {backup:?}");
}

#[test]
fn a_time_that_is_none_a_place_that_is_missing_and_none_to_keep_are_said_at_once() {
    for wrong in ["3:30", "24:00", "03:60", "03:30:00", "noon"] {
        let text = with_backup(&format!("daily_at = \"{wrong}\"\nkeep = 0\n"));
        for expected in [&*format!("backup.daily_at: '{wrong}' is none"), "backup.dir", "backup.keep"] {
            check_refused(&text, expected);
        }
    }
}
