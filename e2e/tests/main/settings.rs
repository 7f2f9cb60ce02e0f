//! Settings as they reach a program: every one may come from a file, and all that is wrong is told.

use std::process::Command;

use e2e::programs;
use shop::processes::OURS;

/// The variables that a program's help names.
fn variables(program: &str) -> Vec<String> {
    let help = Command::new(programs().join(program)).arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let named = help.split("[env: ").skip(1).filter_map(|rest| rest.split(['=', ']']).next());
    named.map(str::to_owned).collect()
}

#[test]
fn every_setting_may_come_from_a_file_and_files_that_are_missing_are_told_at_once() {
    for program in OURS {
        let variables = variables(program);
        assert!(variables.len() > 10, "{program}: {variables:?}");
        let file = |name: &String| (format!("{name}_FILE"), format!("/none/{name}"));

        let ended = Command::new(programs().join(program))
            .envs(variables.iter().map(file))
            .output()
            .unwrap();

        assert_eq!(ended.status.code(), Some(2), "{program}");
        let told = String::from_utf8(ended.stderr).unwrap();
        for name in variables {
            let line = format!("  {name}_FILE: /none/{name}: No such file");
            assert!(told.contains(&line), "{program} does not tell of {name}:\n{told}");
        }
    }
}

/// A secret in a file is taken, and one that is not usable is not told.
#[test]
fn a_secret_from_a_file_is_not_told() {
    let url = backends::testing::file("postgres://me:hush@db/orders?sslmode=hush\n");
    let key = backends::testing::file("hush");

    let ended = Command::new(programs().join("order-svc"))
        .args(["--kafka=k:9092", "--jwks=off", "--threads=0"])
        .env("SHOP_DATABASE_URL_FILE", url)
        .env("SHOP_SEAL_KEY_FILE", key)
        .output()
        .unwrap();

    let told = String::from_utf8(ended.stderr).unwrap();
    for fault in [
        "SHOP_DATABASE_URL (--database-url): the value is not usable: sslmode: write",
        "SHOP_SEAL_KEY (--seal-key): the value is not usable",
        "SHOP_THREADS (--threads): \"0\"",
    ] {
        assert!(told.contains(fault), "{fault} is missing in:\n{told}");
    }
    assert!(!told.contains("hush"), "{told}");
}
