//! Kafka's jars, fetched by Maven once for all checkouts, and the class archive made from them.
//!
//! The archive halves the broker's time to start. It is valid for exactly the class path it was
//! made with, so it is made in the folder where it will be used; Java ignores one that does not
//! fit, without a word.

use std::{
    fs,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, bail};

use crate::machine;

/// The list of jars, as a Maven project.
const POM: &str = include_str!("../../deploy/kafka/pom.xml");

const COPY: &str = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies";

const LOGGING: &str = "\
Configuration:
  Appenders:
    Console:
      name: STDOUT
      PatternLayout: {pattern: \"[%d] %p %m (%c)%n\"}
  Loggers:
    Root: {level: info, AppenderRef: [{ref: STDOUT}]}
";

/// The file that is written last: with it, the folder is complete.
const COMPLETE: &str = "complete";

/// What to install where Java or Maven is missing.
const INSTALL: &str = "apt-get install openjdk-17-jre-headless maven";

/// Where the jars are, and which Java runs them.
#[derive(Clone, Debug)]
pub struct Jars {
    folder: PathBuf,
    java: PathBuf,
    class_path: String,
}

/// Whether everything is cached that a broker needs to start; an error where there is no Java.
pub fn are_ready() -> anyhow::Result<bool> {
    Ok(folder(&java()?)?.join(COMPLETE).exists())
}

/// Makes a class archive: from the jars, the archive's path, and a folder for temporary files.
pub(crate) type MakeArchive = fn(&Jars, &Path, &Path) -> anyhow::Result<()>;

/// The jars in the cache. They are fetched first, under a lock, if they are not there.
pub(crate) fn fetch(make_archive: MakeArchive) -> anyhow::Result<Jars> {
    let java = java()?;
    let folder = folder(&java)?;
    if !folder.join(COMPLETE).exists() {
        fs::create_dir_all(&folder)
            .with_context(|| format!("cannot make the folder {}", folder.display()))?;
        let lock = fs::File::create(folder.with_extension("lock"))?;
        lock.lock().context("cannot lock the cache")?;
        // Another process may have made the folder while this one waited for the lock.
        if !folder.join(COMPLETE).exists() {
            make(&folder, &java, make_archive)?;
        }
    }
    Jars::in_folder(folder, java)
}

impl Jars {
    fn in_folder(folder: PathBuf, java: PathBuf) -> anyhow::Result<Self> {
        let mut jars: Vec<_> = fs::read_dir(folder.join("libs"))
            .with_context(|| format!("no jars in {}", folder.display()))?
            .map(|entry| entry.map(|entry| entry.path().display().to_string()))
            .collect::<Result<_, _>>()?;
        // A class archive is only valid for one order of the jars.
        jars.sort();
        Ok(Self { class_path: jars.join(":"), folder, java })
    }

    /// A command that runs one class, with the class archive if there is one.
    pub fn command(&self, options: &[String], class: &str) -> Command {
        let mut command = Command::new(&self.java);
        command.process_group(0).current_dir("/");
        let archive = self.archive();
        if archive.exists() {
            command.arg(format!("-XX:SharedArchiveFile={}", archive.display()));
        }
        let logging = self.folder.join("log4j2.yaml");
        command
            .args(options)
            .arg("-Djava.awt.headless=true")
            .arg(format!("-Dlog4j2.configurationFile={}", logging.display()))
            .args(["-cp", &self.class_path, class]);
        command
    }

    /// The feature levels that a formatted directory begins with: the same for every broker.
    pub fn bootstrap(&self) -> PathBuf {
        self.folder.join("bootstrap.checkpoint")
    }

    fn archive(&self) -> PathBuf {
        self.folder.join("kafka.jsa")
    }
}

fn java() -> anyhow::Result<PathBuf> {
    let home = std::env::var_os("JAVA_HOME").filter(|home| !home.is_empty());
    let java = home
        .map(|home| PathBuf::from(home).join("bin/java"))
        .filter(|java| java.is_file())
        .or_else(|| machine::program("java"));
    java.with_context(|| format!("Kafka needs Java 17 or later: {INSTALL}"))
}

/// The cache folder for this list of jars and this Java: an archive of one does not fit another.
fn folder(java: &Path) -> anyhow::Result<PathBuf> {
    let java = java.canonicalize().context("java cannot be found")?;
    let mut hasher = DefaultHasher::new();
    POM.hash(&mut hasher);
    java.hash(&mut hasher);
    let found = fs::metadata(&java)?;
    (found.len(), found.modified().ok()).hash(&mut hasher);
    Ok(machine::cache()?.join(format!("kafka-{:016x}", hasher.finish())))
}

fn make(folder: &Path, java: &Path, make_archive: MakeArchive) -> anyhow::Result<()> {
    fs::remove_dir_all(folder)?;
    fs::create_dir_all(folder)?;
    let mvn = machine::program("mvn")
        .with_context(|| format!("Kafka's jars are fetched by Maven: {INSTALL}"))?;
    let pom = folder.join("pom.xml");
    fs::write(&pom, POM)?;
    fs::write(folder.join("log4j2.yaml"), LOGGING)?;
    run(Command::new(mvn)
        .args(["--batch-mode", "--quiet", "--file"])
        .arg(&pom)
        .arg(COPY)
        .arg(format!("-DoutputDirectory={}", folder.join("libs").display())))
    .context("Maven could not fetch Kafka's jars")?;

    let jars = Jars::in_folder(folder.to_owned(), java.to_owned())?;
    let scratch = folder.join("scratch");
    let properties = folder.join("scratch.properties");
    fs::write(
        &properties,
        format!(
            "process.roles=broker,controller\nnode.id=1\n\
             controller.quorum.voters=1@127.0.0.1:9093\n\
             listeners=PLAINTEXT://127.0.0.1:9092,CONTROLLER://127.0.0.1:9093\n\
             controller.listener.names=CONTROLLER\nlog.dirs={}\n",
            scratch.display()
        ),
    )?;
    let mut format = jars.command(&[], "kafka.tools.StorageTool");
    format.args(["format", "--cluster-id", &machine::random_word(), "--config"]).arg(&properties);
    run(&mut format).context("Kafka could not format a folder")?;
    fs::rename(scratch.join("bootstrap.checkpoint"), jars.bootstrap())?;
    fs::remove_dir_all(&scratch)?;

    // Without an archive Kafka starts, only more slowly, so a failure here is no error.
    make_archive(&jars, &jars.archive(), folder).ok();
    fs::write(folder.join(COMPLETE), "")?;
    Ok(())
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let said = command.stdin(Stdio::null()).process_group(0).output()?;
    if !said.status.success() {
        let (out, err) =
            (String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
        bail!("{}\n{}", out.trim_end(), err.trim_end());
    }
    Ok(())
}
