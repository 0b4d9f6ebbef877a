//! Files as power loss, bad disks and careless people leave them.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use e2e::{Http, Ledger, Random, counterfoil};
use serde::Deserialize;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use verify::{Cert, TxId, Verifier};

use crate::load::{self, Sent};

#[test]
fn garbage_after_the_last_signature_is_cut() -> Result<()> {
    let mut random = Random::seeded()?;
    let runtime = Runtime::new()?;
    let mut killed = Killed::new(&runtime, "")?;
    for _ in 0..12 {
        let chunk = killed.open_chunk()?;
        let sound = fs::read(&chunk)?;
        let count = 1 + random.below(5000);
        let mut tail = match random.below(3) {
            // The beginning of an entry that was written before.
            0 => sound[8..sound.len().min(8 + count)].to_vec(),
            1 => vec![0; count],
            _ => random.bytes(count),
        };
        tail.truncate(random.below(tail.len()) + 1);
        fs::write(&chunk, [sound.as_slice(), &tail].concat())?;
        killed
            .starts_and_has_everything(&runtime)
            .with_context(|| {
                format!("{} bytes {:02x?}", tail.len(), &tail[..tail.len().min(16)])
            })?;
    }
    Ok(())
}

/// Power is lost while a batch is written: of the files only the ledger's has some of it.
#[test]
fn a_torn_batch_is_cut_whole_and_a_whole_one_is_kept() -> Result<()> {
    let mut random = Random::seeded()?;
    let runtime = Runtime::new()?;
    let mut killed = Killed::new(&runtime, "")?;
    let before = TempDir::new()?;
    copy(&killed.ledger.folder(), before.path())?;

    killed.ledger.start_again()?;
    let chunk = killed.open_chunk()?;
    let start = fs::metadata(&chunk)?.len() as usize;
    let batch: Vec<Sent> = (0..50)
        .map(|number| Sent {
            round: 1,
            writer: 0,
            number,
        })
        .collect();
    let http = Http::new(killed.ledger.ready())?;
    let entries: Vec<_> = batch
        .iter()
        .map(|sent| serde_json::json!({"contents": sent.contents()}))
        .collect();
    let path = format!(
        "/app/transactions:batch?collectionId={}",
        batch[0].collection()
    );
    let body = serde_json::json!({ "entries": entries });
    let answer = runtime.block_on(http.post(&path, &body))?;
    ensure!(answer.status == 200, "{}", answer.text());
    killed.ledger.kill()?;
    let written = fs::read(&chunk)?;
    ensure!(written.len() > start, "the batch is in the open file");

    let mut cuts = vec![start + 1, start + 8, written.len() - 1, written.len()];
    cuts.extend((0..16).map(|_| start + random.below(written.len() - start)));
    for cut in cuts {
        fs::remove_dir_all(killed.ledger.folder())?;
        copy(before.path(), &killed.ledger.folder())?;
        fs::write(&chunk, &written[..cut])?;
        killed.starts_and_has_everything(&runtime)?;
        killed.ledger.start_again()?;
        let http = Http::new(killed.ledger.ready())?;
        let found = runtime.block_on(load::read_all(&http, &batch[0].collection()))?;
        killed.ledger.kill()?;
        let whole = cut == written.len();
        let expected = if whole { batch.len() } else { 0 };
        ensure!(
            found.len() == expected,
            "{} entries of a batch cut at {cut} of {start}..{}",
            found.len(),
            written.len()
        );
    }
    Ok(())
}

#[test]
fn lost_entries_are_not_taken_for_a_torn_write() -> Result<()> {
    let mut random = Random::seeded()?;
    let runtime = Runtime::new()?;
    let mut killed = Killed::new(&runtime, "chunk_bytes = 40_000\n")?;
    let chunks = killed.chunks()?;
    ensure!(chunks.len() > 4, "only {chunks:?}");
    let open = killed.open_chunk()?;
    let sound = fs::read(&open)?;
    ensure!(sound.len() > 8, "the last file holds entries");

    // Everything in the open file was acknowledged or signed for those who were.
    for cut in [8, sound.len() / 2, sound.len() - 1] {
        fs::write(&open, &sound[..cut])?;
        killed.refuses(&open)?;
        fs::write(&open, &sound)?;
    }
    let place = 8 + random.below(sound.len() - 8);
    let mut flipped = sound.clone();
    flipped[place] ^= 1 << random.below(8);
    fs::write(&open, &flipped)?;
    killed
        .refuses(&open)
        .with_context(|| format!("a flipped bit in byte {place} of {}", sound.len()))?;
    fs::write(&open, &sound)?;

    for chunk in [&chunks[0], &chunks[chunks.len() / 2]] {
        let sound = fs::read(chunk)?;
        for cut in [0, 7, sound.len() / 2, sound.len() - 1] {
            fs::write(chunk, &sound[..cut])?;
            killed.refuses(chunk)?;
        }
        fs::write(chunk, &sound)?;
        let aside = chunk.with_extension("aside");
        fs::rename(chunk, &aside)?;
        killed.refuses(chunk)?;
        fs::rename(&aside, chunk)?;
    }
    killed.starts_and_has_everything(&runtime)
}

/// Files before the last checkpoint are not read at the start, or it would take ever longer. The
/// audit reads them, and a damaged entry is never served.
#[test]
fn a_flipped_bit_anywhere_is_noticed_and_never_served() -> Result<()> {
    let mut random = Random::seeded()?;
    let runtime = Runtime::new()?;
    let mut killed = Killed::new(&runtime, "chunk_bytes = 40_000\n")?;
    let chunks = killed.chunks()?;
    let (mut refused, mut audited) = (0, 0);
    for number in 0..40 {
        let which = random.below(chunks.len() - 1);
        let (chunk, next) = (&chunks[which], &chunks[which + 1]);
        let sound = fs::read(chunk)?;
        let entries_end = positions_from(&sound)?;
        let place = match number {
            0 => entries_end + random.below(sound.len() - entries_end),
            _ => random.below(sound.len()),
        };
        let mut flipped = sound.clone();
        flipped[place] ^= 1 << random.below(8);
        fs::write(chunk, &flipped)?;
        let context = || format!("flip {number}: byte {place} of {}", chunk.display());
        let entries = seqnos(chunk)?;
        let audit = killed.audit().with_context(context)?;
        // Of a signature entry only the next root may tell that it is damaged, in this file or the
        // next. Where no root comes any more, the hash file does not fit.
        let hashes = killed.ledger.folder().join("index/hashes");
        ensure!(
            [chunk, next, &hashes].contains(&audit.file.as_ref().with_context(context)?),
            "{}: {audit:?}",
            context()
        );
        // All entries are true where only their positions are not, and the last is signed where
        // the next root does not cover it as it is.
        let whole = place >= entries_end || audit.file.as_ref() != Some(chunk);
        let last_damaged = entries.end() + u64::from(whole);
        let truth_ends = audit.truth_ends.with_context(context)?;
        ensure!(
            (entries.start() - 1..last_damaged).contains(&truth_ends),
            "{}: {audit:?}",
            context()
        );
        match killed.up()? {
            Some(refusal) => {
                let blamed = refusal.names(chunk).or_else(|_| refusal.names(next));
                blamed.with_context(context)?;
                refused += 1;
            }
            None => {
                killed.ledger.start_again()?;
                let served = runtime.block_on(killed.serves_only_truth(&entries));
                served.with_context(context)?;
                killed.ledger.kill()?;
                audited += 1;
            }
        }
        fs::write(chunk, &sound)?;
    }
    eprintln!("{refused} refused at the start, {audited} noticed by the audit alone");
    killed.starts_and_has_everything(&runtime)
}

/// A ledger with some entries, whose server was killed.
struct Killed {
    ledger: Ledger,
    entries: Vec<(TxId, Sent)>,
    receipts: Vec<(TxId, Sent, Vec<u8>)>,
    verifier: Verifier,
    args: Vec<String>,
    scratch: TempDir,
}

/// What `up` said and did when it did not start.
struct Refusal {
    code: Option<i32>,
    said: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Audit {
    valid: bool,
    file: Option<PathBuf>,
    truth_ends: Option<u64>,
}

impl Killed {
    fn new(runtime: &Runtime, server: &str) -> Result<Self> {
        let scratch = TempDir::new()?;
        let config = scratch.path().join("counterfoil.toml");
        fs::write(&config, format!("[server]\n{server}"))?;
        let config = config.to_str().context("a temporary folder is text")?;
        let args = ["--config", config];
        let mut ledger = Ledger::start_with(&args)?;
        let pem = fs::read_to_string(&ledger.ready().service_cert)?;
        let http = Http::new(ledger.ready())?;
        let told = runtime.block_on(load::write_some(&http, 0, 12))?;
        ledger.kill()?;
        let mut killed = Self {
            ledger,
            entries: told.entries,
            receipts: told.receipts,
            verifier: Verifier::new(Cert::from_pem(&pem)?),
            args: args.map(str::to_owned).to_vec(),
            scratch,
        };
        // The last write may have filled its file: then some more open the next.
        let mut round = 10;
        while killed.open_chunk().is_err() {
            killed.ledger.start_again()?;
            let http = Http::new(killed.ledger.ready())?;
            runtime.block_on(load::write_some(&http, round, 1))?;
            killed.ledger.kill()?;
            round += 1;
        }
        Ok(killed)
    }

    /// The ledger files, oldest first.
    fn chunks(&self) -> Result<Vec<PathBuf>> {
        let mut chunks = Vec::new();
        for file in self.ledger.folder().join("ledger").read_dir()? {
            let path = file?.path();
            chunks.push((*seqnos(&path)?.start(), path));
        }
        chunks.sort();
        Ok(chunks.into_iter().map(|(_, path)| path).collect())
    }

    fn open_chunk(&self) -> Result<PathBuf> {
        let last = self.chunks()?.pop().context("there are ledger files")?;
        ensure!(last.extension().is_none(), "{} is closed", last.display());
        Ok(last)
    }

    fn starts_and_has_everything(&mut self, runtime: &Runtime) -> Result<()> {
        self.ledger.start_again()?;
        let http = Http::new(self.ledger.ready())?;
        let all = load::collections(0);
        let found = runtime.block_on(load::nothing_is_lost(&http, all, &self.entries))?;
        ensure!(found == self.entries.len(), "{found} entries");
        for (id, sent, receipt) in &self.receipts {
            load::holds(&self.verifier, *id, *sent, receipt)?;
        }
        self.ledger.kill()
    }

    /// Asks for these entries; whatever comes is as it was sent. Something may not come.
    async fn serves_only_truth(&self, seqnos: &RangeInclusive<u64>) -> Result<()> {
        let http = Http::new(self.ledger.ready())?;
        let asked = self.entries.iter();
        for &(id, sent) in asked.filter(|(id, _)| seqnos.contains(&id.seqno.0)) {
            let path = format!("/app/transactions/{id}?collectionId={}", sent.collection());
            if http.get(&path).await?.status == 200 {
                load::is_there(&http, id, sent).await?;
            }
            let answer = http.get(&format!("/app/transactions/{id}/receipt")).await?;
            if answer.status == 200 {
                load::holds(&self.verifier, id, sent, &answer.body)?;
            }
        }
        Ok(())
    }

    fn refuses(&self, file: &Path) -> Result<()> {
        let refusal = self.up()?.context("it started on a damaged ledger")?;
        refusal.names(file)
    }

    /// Tries to start it: `None` when it starts.
    fn up(&self) -> Result<Option<Refusal>> {
        let log = self.scratch.path().join("refusal.log");
        let mut server = counterfoil()?
            .args(["up", "--dev", "--json", "--listen", "127.0.0.1:0", "--dir"])
            .arg(self.ledger.folder())
            .args(&self.args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(&log)?)
            .spawn()?;
        let stdout = server.stdout.take().context("standard output is a pipe")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        if !line.is_empty() {
            server.kill()?;
            server.wait()?;
            return Ok(None);
        }
        let code = server.wait()?.code();
        let said = fs::read_to_string(&log)?;
        Ok(Some(Refusal { code, said }))
    }

    fn audit(&self) -> Result<Audit> {
        let out = counterfoil()?
            .args(["ledger", "audit", "--json"])
            .arg(self.ledger.folder())
            .output()?;
        let said = String::from_utf8_lossy(&out.stdout);
        ensure!(out.status.code() == Some(1), "{}: {said}", out.status);
        let audit: Audit = serde_json::from_str(&said).with_context(|| said.to_string())?;
        ensure!(!audit.valid, "{said}");
        Ok(audit)
    }
}

impl Refusal {
    /// It must say which file, and up to which seqno the truth goes.
    fn names(&self, file: &Path) -> Result<()> {
        let Self { code, said } = self;
        let error = said.lines().skip_while(|line| !line.starts_with("error"));
        let error: Vec<_> = error.collect();
        let error = error.join("\n");
        ensure!(*code == Some(1), "exit code {code:?}: {said}");
        // A file that ends between two batches looks as if the next file were missing.
        let folder = file.parent().context("a ledger file is in a folder")?;
        let missing = format!("{} has no ledger file with the entries ", folder.display());
        let damaged = format!("{} is damaged: ", file.display());
        ensure!(
            error.contains(&missing)
                || error.contains(&damaged) && error.contains("Truth ends after seqno "),
            "{said}"
        );
        Ok(())
    }
}

/// Which entries a ledger file has: its name is `ledger_FIRST-LAST.committed`, or `ledger_FIRST` as
/// long as it is written.
fn seqnos(file: &Path) -> Result<RangeInclusive<u64>> {
    let name = file.file_name().and_then(|name| name.to_str());
    let range = name.and_then(|name| name.strip_prefix("ledger_"));
    let range = range.with_context(|| format!("{} is no ledger file", file.display()))?;
    match range.trim_end_matches(".committed").split_once('-') {
        Some((first, last)) => Ok(first.parse()?..=last.parse()?),
        None => Ok(range.parse()?..=u64::MAX),
    }
}

/// Where the positions of a closed ledger file begin, behind its last entry.
fn positions_from(chunk: &[u8]) -> Result<usize> {
    let header = chunk.first_chunk().context("a ledger file has a header")?;
    let positions = usize::try_from(u64::from_le_bytes(*header))?;
    ensure!((8..chunk.len()).contains(&positions), "it is not closed");
    Ok(positions)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in from.read_dir()? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &to)?;
        } else {
            fs::copy(entry.path(), to)?;
        }
    }
    Ok(())
}
