//! Where live bars come from, with which key, and what is refused.

use std::os::unix::fs::PermissionsExt as _;

use sentinel::config::{Config, ConfigErrors, Env, Flags, KeyPlace, SourceConfig, VendorSource};
use sentinel::exit::ExitError as _;
use sentinel::sources::vendor::{Market, Vendor};

use super::{MINIMAL, directory};

const KEY: &str = "t0ken-of-a-vendor";

fn read(source: &str, more: &str, env: &[(&str, &str)], flags: &Flags) -> Result<Config, ConfigErrors> {
    let dir = directory();
    let file = dir.path().join("token");
    std::fs::write(&file, KEY).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::write(dir.path().join("EODHD_API_TOKEN"), KEY).unwrap();
    let text =
        MINIMAL.replace("source.path = \"demo/eurusd_1h_2017.csv\"", &format!("source = {{ {source} }}\n{more}"));
    let folder = dir.path().display().to_string();
    let env: Env = env.iter().map(|(name, value)| (*name, value.replace("DIR", &folder))).collect();
    Config::from_str_at(&text, "node.toml", dir.path(), &env, flags)
}

fn vendor(config: &Config) -> &VendorSource {
    match &config.pipelines[0].source {
        SourceConfig::Vendor(vendor) => vendor,
        other => panic!("{other:?}"),
    }
}

const BY_ENV: &[(&str, &str)] = &[("EODHD_API_TOKEN", KEY), ("TIINGO_API_KEY", KEY)];

#[test]
fn a_vendor_has_defaults_that_follow_symbol_and_market() {
    let config = read("kind = \"eodhd\"", "", BY_ENV, &Flags::default()).unwrap();
    let eodhd = vendor(&config);
    assert_eq!((eodhd.vendor, eodhd.market, eodhd.ticker.as_str()), (Vendor::Eodhd, Market::Fx, "EURUSD.FOREX"));
    assert_eq!((eodhd.base_url.as_str(), eodhd.requests_per_hour), ("https://eodhd.com/", None));
    let pipeline = &config.pipelines[0];
    assert_eq!(pipeline.features.set.made_from.unwrap().to_string(), "1m", "hours of FX are made from minutes");
    assert_eq!((pipeline.data.settle.as_secs(), pipeline.calendar.to_string().contains("New_York")), (2, true));

    let config = read("kind = \"tiingo\", market = \"crypto\"", "", BY_ENV, &Flags::default()).unwrap();
    let tiingo = vendor(&config);
    assert_eq!(
        (tiingo.ticker.as_str(), tiingo.requests_per_hour, tiingo.requests_per_day),
        ("eurusd", Some(50), Some(1000))
    );
    let pipeline = &config.pipelines[0];
    assert_eq!((pipeline.features.set.made_from, pipeline.calendar.to_string().as_str()), (None, "always"));

    let fx = read("kind = \"tiingo\"", "", BY_ENV, &Flags::default()).unwrap();
    let pipeline = &fx.pipelines[0];
    assert_eq!(
        (pipeline.features.set.made_from, &pipeline.calendar.to_string()[..27]),
        (None, "America/New_York; Sun 20:00")
    );

    let native = read("kind = \"eodhd\"", "made_from = \"native\"", BY_ENV, &Flags::default()).unwrap();
    assert_eq!(native.pipelines[0].features.set.made_from, None);
}

#[test]
fn a_key_comes_from_a_file_the_environment_or_a_credential_in_this_order() {
    let place = |source: &str, env: &[(&str, &str)]| {
        let config = read(source, "", env, &Flags::default()).unwrap();
        assert!(!format!("{config:?}").contains(KEY), "no text of a configuration has the key");
        assert!(!config.banner().any(|line| line.contains(KEY)));
        vendor(&config).key.clone().unwrap()
    };
    let credential = ("CREDENTIALS_DIRECTORY", "DIR");
    let is_file = |place: &KeyPlace, name: &str| matches!(place, KeyPlace::File(file) if file.ends_with(name));
    let both = [credential, ("EODHD_API_TOKEN", KEY)];
    assert!(is_file(&place("kind = \"eodhd\", token_file = \"token\"", &both), "token"));
    assert!(matches!(place("kind = \"eodhd\"", &both), KeyPlace::Environment(_)));
    assert!(is_file(&place("kind = \"eodhd\"", &[credential]), "EODHD_API_TOKEN"));
}

#[test]
fn what_cannot_work_is_refused_with_what_to_do() {
    for (source, more, env, expected) in [
        ("kind = \"eodhd\"", "", &[][..], "there is no key: set EODHD_API_TOKEN in the environment or in .env"),
        ("kind = \"eodhd\", token_file = \"demo/model.onnx\"", "", BY_ENV, "can be read by others: chmod 600 "),
        ("kind = \"eodhd\", token_file = \"none\"", "", BY_ENV, "there is no file "),
        (
            "kind = \"eodhd\", base_url = \"http://eodhd.com\"",
            "",
            BY_ENV,
            "would send the key unencrypted; write https",
        ),
        ("kind = \"eodhd\", base_url = \"https://me:it@eodhd.com\"", "", BY_ENV, "has no user, query or fragment"),
        ("kind = \"eodhd\", base_url = \"ftp://eodhd.com\"", "", BY_ENV, "is not an address of the web"),
        ("kind = \"eodhd\", ticker = \"../admin\"", "", BY_ENV, "is not a ticker"),
        ("kind = \"eodhd\", ticker = \"..\"", "", BY_ENV, "is not a ticker"),
        ("kind = \"tiingo\", token_in = \"query\"", "", BY_ENV, "unknown key"),
        ("kind = \"eodhd\"", "made_from = \"15m\"", BY_ENV, "eodhd has no bars of 15m: write made_from = \"1m\""),
    ] {
        let errors = read(source, more, env, &Flags::default()).unwrap_err().to_string();
        assert!(errors.contains(expected), "expected '{expected}' in: {errors}");
    }
}

#[test]
fn two_pipelines_with_one_key_have_one_number_of_requests() {
    let second = |limit: &str| {
        let other = MINIMAL.replace("eurusd\"", "other\"").replace("EURUSD", "GBPUSD");
        let source = format!("source = {{ kind = \"tiingo\", requests_per_hour = {limit} }}");
        let other = other.replace("source.path = \"demo/eurusd_1h_2017.csv\"", &source);
        let dir = directory();
        let first = MINIMAL.replace("source.path = \"demo/eurusd_1h_2017.csv\"", "source.kind = \"tiingo\"");
        let env: Env = BY_ENV.iter().copied().collect();
        Config::from_str_at(&(first + &other), "node.toml", dir.path(), &env, &Flags::default())
    };
    assert!(second("50").is_ok());
    let errors = second("20").unwrap_err().to_string();
    assert!(
        errors.contains("'other' and 'eurusd' ask tiingo with one key, and differ in requests_per_hour"),
        "{errors}"
    );
}

#[test]
fn another_symbol_needs_another_ticker_when_the_file_names_one() {
    let symbol = || Flags { symbol: Some("GBPUSD".to_owned()), ..Flags::default() };
    let named = "kind = \"eodhd\", ticker = \"EURUSD.FOREX\"";
    let errors = read(named, "", BY_ENV, &symbol()).unwrap_err();
    assert!(errors.to_string().contains("give --ticker too"), "{errors}");
    assert_eq!(errors.exit_code(), 64);
    let both = Flags { ticker: Some("GBPUSD.FOREX".to_owned()), ..symbol() };
    assert_eq!(vendor(&read(named, "", BY_ENV, &both).unwrap()).ticker, "GBPUSD.FOREX");
    let derived = read("kind = \"eodhd\"", "", BY_ENV, &symbol()).unwrap();
    assert_eq!(vendor(&derived).ticker, "GBPUSD.FOREX");
}
