//! One component, compiled and linked, and its instances: every call has a deadline, a
//! memory cap and a transfer cap, and an instance that failed once is never used again.

use serde::{Deserialize, Serialize};
use wasmtime::component::{Component, InstancePre, Linker};
use wasmtime::{Store, UpdateDeadline};

use super::bindings::v0_1::{plugin, prompt, redaction, scope, signals, verifier};
use super::engine::Runtime;
use super::inspect::{self, Interface, Outside, Refusal};
use super::limits::Limits;
use super::state::{Limit, MAX_TABLE, State, link};
use redact::sanitize;

/// A warm instance that grew over this is thrown away: linear memory never shrinks.
const KEEP_MEMORY: u64 = 64 * 1024 * 1024;

/// Why a call gave nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "kebab-case", tag = "ended", content = "detail")]
pub enum CallError {
    /// A limit was run into; it says nothing about what the policy would have found.
    #[error("it ran into its limit: {0}")]
    Limit(String),
    /// The code trapped or panicked.
    #[error("it failed: {0}")]
    Trap(String),
    /// It returned what the interface does not allow.
    #[error("it returned what no policy may return: {0}")]
    Output(String),
}

/// A component that is compiled and linked; instances of it share the machine code.
pub struct Code {
    runtime: Runtime,
    pre: InstancePre<State>,
    /// What it imports and exports.
    pub outside: Outside,
    plugin: plugin::GuestIndices,
    scope: Option<scope::GuestIndices>,
    verifier: Option<verifier::GuestIndices>,
    signals: Option<signals::GuestIndices>,
    redaction: Option<redaction::GuestIndices>,
    prompt: Option<prompt::GuestIndices>,
}

/// The exports of an instance.
pub struct Guest {
    /// What every component exports.
    pub plugin: plugin::Guest,
    /// Present if exported.
    pub scope: Option<scope::Guest>,
    /// Present if exported.
    pub verifier: Option<verifier::Guest>,
    /// Present if exported.
    pub signals: Option<signals::Guest>,
    /// Present if exported.
    pub redaction: Option<redaction::Guest>,
    /// Present if exported.
    pub prompt: Option<prompt::Guest>,
}

/// A running component.
pub struct Instance {
    store: Store<State>,
    guest: Guest,
    alive: bool,
}

impl Code {
    /// Reads, compiles (or finds in the cache) and links a component.
    pub fn new(runtime: &Runtime, bytes: &[u8]) -> Result<Self, Refusal> {
        let outside = inspect::outside(bytes)?;
        let engine = runtime.engine();
        let root = |error: wasmtime::Error| sanitize::line(&error.root_cause().to_string(), 500);
        let component = Component::new(engine, bytes).map_err(|error| Refusal::Compile(root(error)))?;
        let mut linker = Linker::new(engine);
        let pre = link(&mut linker)
            .and_then(|()| linker.instantiate_pre(&component))
            .map_err(|error| Refusal::Start(format!("it does not link: {}", root(error))))?;
        let has = |interface| outside.interfaces.contains(&interface);
        macro_rules! indices {
            ($module:ident) => {
                $module::GuestIndices::new(&pre).map_err(|error| {
                    Refusal::Start(format!(
                        "its export {} does not fit: {}",
                        stringify!($module),
                        root(error)
                    ))
                })
            };
        }
        Ok(Code {
            plugin: indices!(plugin)?,
            scope: has(Interface::Scope).then(|| indices!(scope)).transpose()?,
            verifier: has(Interface::Verifier).then(|| indices!(verifier)).transpose()?,
            signals: has(Interface::Signals).then(|| indices!(signals)).transpose()?,
            redaction: has(Interface::Redaction).then(|| indices!(redaction)).transpose()?,
            prompt: has(Interface::Prompt).then(|| indices!(prompt)).transpose()?,
            runtime: runtime.clone(),
            pre,
            outside,
        })
    }

    /// Starts an instance under these limits.
    pub fn start(&self, limits: Limits) -> Result<Instance, CallError> {
        let mut store = Store::new(self.runtime.engine(), State::new(limits));
        store.limiter(|state| state);
        store.epoch_deadline_callback(|mut context| {
            Ok(if context.data_mut().late() {
                UpdateDeadline::Interrupt
            } else {
                UpdateDeadline::Continue(1)
            })
        });
        prepare(&mut store, limits);
        let _ticking = self.runtime.tick();
        let guest = (|| -> wasmtime::Result<Guest> {
            let instance = self.pre.instantiate(&mut store)?;
            macro_rules! load {
                ($name:ident) => {
                    self.$name.as_ref().map(|indices| indices.load(&mut store, &instance)).transpose()?
                };
            }
            Ok(Guest {
                plugin: self.plugin.load(&mut store, &instance)?,
                scope: load!(scope),
                verifier: load!(verifier),
                signals: load!(signals),
                redaction: load!(redaction),
                prompt: load!(prompt),
            })
        })()
        .map_err(|error| explain(&error, store.data()))?;
        Ok(Instance { store, guest, alive: true })
    }

    /// Calls an instance. Limits are those of the call, its input's size counted in. After
    /// an error the instance is dead.
    pub fn call<T: Send>(
        &self,
        instance: &mut Instance,
        limits: Limits,
        act: impl FnOnce(&mut Store<State>, &Guest) -> wasmtime::Result<T> + Send,
    ) -> Result<T, CallError> {
        if !instance.alive {
            return Err(CallError::Trap("it failed before".into()));
        }
        prepare(&mut instance.store, limits);
        let _ticking = self.runtime.tick();
        let Instance { store, guest, alive } = instance;
        let result = if self.outside.uses_wasi() && tokio::runtime::Handle::try_current().is_ok() {
            // The empty WASI waits on a runtime of its own, which must not happen inside one.
            std::thread::scope(|threads| threads.spawn(|| act(store, guest)).join())
                .unwrap_or_else(|_| Err(wasmtime::Error::msg("the host's side of the call panicked")))
        } else {
            act(store, guest)
        };
        result.map_err(|error| {
            *alive = false;
            explain(&error, store.data())
        })
    }
}

impl Instance {
    /// It may be called again. One that a large input made grow is not: under the limit of
    /// a small input (`limits`) it could fail where a fresh one would not.
    pub fn reusable(&self, limits: Limits) -> bool {
        self.alive && self.store.data().memory() <= KEEP_MEMORY.min(limits.memory_bytes / 2)
    }

    /// The log lines of the last call, and how many the limit swallowed.
    pub fn take_log(&mut self) -> (Vec<String>, u64) {
        let state = self.store.data_mut();
        (std::mem::take(&mut state.log), std::mem::take(&mut state.log_dropped))
    }
}

fn prepare(store: &mut Store<State>, limits: Limits) {
    store.data_mut().begin(limits);
    store.set_hostcall_fuel(usize::try_from(limits.transfer_bytes).unwrap_or(usize::MAX));
    store.set_epoch_deadline(1);
}

/// Names the limit, or the root cause. What the guest logged last (the SDK sends a panic's
/// message there) is not quoted: it may hold a secret that it was to find.
fn explain(error: &wasmtime::Error, state: &State) -> CallError {
    let limits = state.limits();
    let cause = sanitize::line(&error.root_cause().to_string(), 300);
    match state.hit {
        Some(Limit::Deadline) => {
            CallError::Limit(format!("deadline of {} ms (limits.deadline_ms)", limits.deadline_ms))
        }
        Some(Limit::Memory) => {
            CallError::Limit(format!("memory of {} bytes (limits.memory_bytes)", limits.memory_bytes))
        }
        Some(Limit::Table) => CallError::Limit(format!("table of {MAX_TABLE} elements")),
        _ if cause.contains("fuel allocated for hostcalls") => {
            CallError::Limit(format!("transfer of {} bytes (limits.transfer_bytes)", limits.transfer_bytes))
        }
        _ => CallError::Trap(cause),
    }
}
