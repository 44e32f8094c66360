//! What an instance's host side holds: the meters of the call that runs, its log lines, and
//! a WASI with nothing behind it.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use wasmtime::ResourceLimiter;
use wasmtime::component::{HasData, HasSelf, Linker, ResourceTable};
use wasmtime_wasi::cli::{WasiCli, WasiCliView};
use wasmtime_wasi::clocks::{WasiClocks, WasiClocksView};
use wasmtime_wasi::p2::bindings::{cli, clocks, random, sync};
use wasmtime_wasi::random::WasiRandom;
use wasmtime_wasi::{Deterministic, HostWallClock, WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};

use super::accept;
use super::bindings::v0_1::{host, wit};
use super::bindings::v0_2;
use super::limits::Limits;

/// A limit that a call can run into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Limit {
    /// Wall-clock time.
    Deadline,
    /// Linear memory.
    Memory,
    /// Bytes returned.
    Transfer,
    /// Elements of a table.
    Table,
}

/// Elements of one table: room for the functions of a whole language runtime.
pub const MAX_TABLE: usize = 200_000;

/// The host side of one instance.
pub struct HostState {
    limits: Limits,
    /// When the running call must end.
    deadline: Instant,
    memory: u64,
    /// The limit that was run into, if one was.
    pub hit: Option<Limit>,
    log_left: u64,
    /// Log lines that the cap swallowed.
    pub log_dropped: u64,
    /// `level: message`, cleaned.
    pub log: Vec<String>,
    wasi: Option<Box<(WasiCtx, ResourceTable)>>,
}

impl HostState {
    /// A state for a new instance.
    pub fn new(limits: Limits) -> Self {
        HostState {
            limits,
            deadline: Instant::now() + limits.deadline(),
            memory: 0,
            hit: None,
            log_left: limits.log_bytes,
            log_dropped: 0,
            log: Vec::new(),
            wasi: None,
        }
    }

    /// Sets the meters for the next call.
    pub fn begin(&mut self, limits: Limits) {
        self.limits = limits;
        self.deadline = Instant::now() + limits.deadline();
        self.hit = None;
        self.log_left = limits.log_bytes;
        self.log_dropped = 0;
        self.log.clear();
    }

    /// The limits of the call.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Bytes of linear memory that the instance holds; it never gives any back.
    pub fn memory(&self) -> u64 {
        self.memory
    }

    /// The deadline has passed; notes it.
    pub fn late(&mut self) -> bool {
        let late = Instant::now() >= self.deadline;
        if late {
            self.hit = Some(Limit::Deadline);
        }
        late
    }
}

impl ResourceLimiter for HostState {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _max: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let total = self.memory + (desired as u64).saturating_sub(current as u64);
        if total > self.limits.memory_bytes {
            // The guest only sees -1, so the host must remember why it fell over.
            self.hit = Some(Limit::Memory);
            return Ok(false);
        }
        self.memory = total;
        Ok(true)
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _max: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let fits = desired <= MAX_TABLE;
        if !fits {
            self.hit = Some(Limit::Table);
        }
        Ok(fits)
    }

    // Python's components hold 38 core instances, JavaScript's fewer.
    fn instances(&self) -> usize {
        64
    }

    fn tables(&self) -> usize {
        64
    }

    fn memories(&self) -> usize {
        16
    }
}

impl wit::Host for HostState {}

/// The level's name; the enum is generated once a version.
macro_rules! host_level {
    ($host:path, $level:expr) => {{
        use $host as host;
        match $level {
            host::Level::Debug => "debug",
            host::Level::Info => "info",
            host::Level::Warn => "warn",
            host::Level::Error => "error",
        }
    }};
}

impl HostState {
    fn log_line(&mut self, level: &str, message: &str) {
        let size = message.len() as u64 + 1;
        if size > self.log_left {
            self.log_dropped += 1;
            return;
        }
        self.log_left -= size;
        self.log.push(format!("{level}: {}", accept::log_line(message)));
    }
}

impl host::Host for HostState {
    fn log(&mut self, level: host::Level, message: String) {
        self.log_line(host_level!(host, level), &message);
    }
}

impl v0_2::host::Host for HostState {
    fn log(&mut self, level: v0_2::host::Level, message: String) {
        self.log_line(host_level!(v0_2::host, level), &message);
    }
}

impl WasiView for HostState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let (ctx, table) =
            &mut **self.wasi.get_or_insert_with(|| Box::new((empty_wasi(), ResourceTable::new())));
        WasiCtxView { ctx, table }
    }
}

/// Closed streams, no arguments, no environment; the clock does not move and random numbers
/// are the same ones every time, so that a policy stays a function of its input.
fn empty_wasi() -> WasiCtx {
    WasiCtxBuilder::new()
        .wall_clock(Standing)
        .secure_random(Deterministic::new(vec![0; 32]))
        .insecure_random(Deterministic::new(vec![0; 32]))
        .insecure_random_seed(0)
        .build()
}

struct Standing;

impl HostWallClock for Standing {
    fn resolution(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn now(&self) -> Duration {
        Duration::ZERO
    }
}

struct Io;

impl HasData for Io {
    type Data<'a> = &'a mut ResourceTable;
}

/// Links what [`super::inspect`] allows, and nothing else.
pub fn link(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    let l = linker;
    host::add_to_linker::<HostState, HasSelf<HostState>>(l, |state| state)?;
    wit::add_to_linker::<HostState, HasSelf<HostState>>(l, |state| state)?;
    v0_2::host::add_to_linker::<HostState, HasSelf<HostState>>(l, |state| state)?;
    // Types alone: there is nothing to link behind the instance.
    l.instance("codex-worker:policy/types@0.2.0")?;

    wasmtime_wasi::p2::bindings::io::error::add_to_linker::<HostState, Io>(l, |t| t.ctx().table)?;
    sync::io::poll::add_to_linker::<HostState, Io>(l, |t| t.ctx().table)?;
    sync::io::streams::add_to_linker::<HostState, Io>(l, |t| t.ctx().table)?;
    clocks::wall_clock::add_to_linker::<HostState, WasiClocks>(l, HostState::clocks)?;
    random::random::add_to_linker::<HostState, WasiRandom>(l, |t| t.ctx().ctx.random())?;
    random::insecure::add_to_linker::<HostState, WasiRandom>(l, |t| t.ctx().ctx.random())?;
    random::insecure_seed::add_to_linker::<HostState, WasiRandom>(l, |t| t.ctx().ctx.random())?;
    cli::exit::add_to_linker::<HostState, WasiCli>(l, HostState::cli)?;
    cli::environment::add_to_linker::<HostState, WasiCli>(l, HostState::cli)?;
    cli::stdin::add_to_linker::<HostState, WasiCli>(l, HostState::cli)?;
    cli::stdout::add_to_linker::<HostState, WasiCli>(l, HostState::cli)?;
    cli::stderr::add_to_linker::<HostState, WasiCli>(l, HostState::cli)?;
    cli::terminal_input::add_to_linker::<HostState, WasiCli>(l, HostState::cli)?;
    cli::terminal_output::add_to_linker::<HostState, WasiCli>(l, HostState::cli)?;
    cli::terminal_stdin::add_to_linker::<HostState, WasiCli>(l, HostState::cli)?;
    cli::terminal_stdout::add_to_linker::<HostState, WasiCli>(l, HostState::cli)?;
    cli::terminal_stderr::add_to_linker::<HostState, WasiCli>(l, HostState::cli)?;
    Ok(())
}
