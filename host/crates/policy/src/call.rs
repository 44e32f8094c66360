//! One component, compiled and linked, and its instances: every call has a deadline, a
//! memory cap and a transfer cap, and an instance that failed once is never used again.

use serde::{Deserialize, Serialize};
use wasmtime::component::{
    Component, ComponentExportIndex, ComponentNamedList, InstancePre, Lift, Linker, Lower, TypedFunc,
};
use wasmtime::{Store, UpdateDeadline};

use super::bindings::v0_1::{plugin, prompt, redaction, signals, wit};
use super::bindings::v0_2::mutation;
use super::engine::Runtime;
use super::inspect::{self, Outside, Refusal};
use super::limits::Limits;
use super::state::{HostState, Limit, MAX_TABLE, link};
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
    pre: InstancePre<HostState>,
    /// What it imports and exports.
    pub outside: Outside,
    functions: Functions,
}

/// Where each function is exported, by the interface's newest version that the component has.
struct Functions {
    describe: ComponentExportIndex,
    configure: ComponentExportIndex,
    examples: ComponentExportIndex,
    check: Option<ComponentExportIndex>,
    verify: Option<ComponentExportIndex>,
    parse: Option<ComponentExportIndex>,
    find: Option<ComponentExportIndex>,
    shape: Option<ComponentExportIndex>,
    mutate: Option<ComponentExportIndex>,
}

type Verify = (wit::JobFacts, wit::ChangeSet, Vec<wit::CheckResult>, wit::AgentOutcome);

/// The functions of an instance; those of interfaces that it does not export are absent. Types
/// are compared field by field, so that one set serves every version.
pub struct Guest {
    /// `plugin.describe`.
    pub describe: TypedFunc<(), (plugin::Description,)>,
    /// `plugin.configure`.
    pub configure: TypedFunc<(String,), (Result<(), String>,)>,
    /// `plugin.examples`.
    pub examples: TypedFunc<(), (Vec<plugin::Example>,)>,
    /// `scope.check`.
    pub check: Option<TypedFunc<(wit::JobFacts, wit::ChangeSet), (Vec<wit::Finding>,)>>,
    /// `verifier.verify`.
    pub verify: Option<TypedFunc<Verify, (Vec<wit::Finding>,)>>,
    /// `signals.parse`.
    pub parse: Option<TypedFunc<(signals::CommandOutput,), (Vec<wit::Signal>,)>>,
    /// `redaction.find`.
    pub find: Option<TypedFunc<(String, String), (redaction::Found,)>>,
    /// `prompt.shape`.
    pub shape: Option<TypedFunc<(prompt::PromptInput,), (prompt::Draft,)>>,
    /// `mutation.mutate`.
    pub mutate: Option<TypedFunc<(mutation::MutationInput,), (mutation::Mutants,)>>,
}

/// A running component.
pub struct Instance {
    store: Store<HostState>,
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
        let function = |interface: &str, name: &str| {
            let Some(export) = outside.export(interface) else { return Ok(None) };
            let found = component
                .get_export_index(None, export)
                .and_then(|instance| component.get_export_index(Some(&instance), name));
            match found {
                Some(index) => Ok(Some(index)),
                None => Err(Refusal::Start(format!("its export {export} does not fit: it has no {name}"))),
            }
        };
        let plugin = |name: &str| {
            function("plugin", name)?
                .ok_or_else(|| Refusal::Start(format!("it exports no function {name} of plugin")))
        };
        Ok(Code {
            functions: Functions {
                describe: plugin("describe")?,
                configure: plugin("configure")?,
                examples: plugin("examples")?,
                check: function("scope", "check")?,
                verify: function("verifier", "verify")?,
                parse: function("signals", "parse")?,
                find: function("redaction", "find")?,
                shape: function("prompt", "shape")?,
                mutate: function("mutation", "mutate")?,
            },
            runtime: runtime.clone(),
            pre,
            outside,
        })
    }

    /// Starts an instance under these limits.
    pub fn start(&self, limits: Limits) -> Result<Instance, CallError> {
        let mut store = Store::new(self.runtime.engine(), HostState::new(limits));
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
            let at = &self.functions;
            let mut load = Loader { instance, store: &mut store };
            Ok(Guest {
                describe: load.function(&at.describe)?,
                configure: load.function(&at.configure)?,
                examples: load.function(&at.examples)?,
                check: load.optional(at.check.as_ref())?,
                verify: load.optional(at.verify.as_ref())?,
                parse: load.optional(at.parse.as_ref())?,
                find: load.optional(at.find.as_ref())?,
                shape: load.optional(at.shape.as_ref())?,
                mutate: load.optional(at.mutate.as_ref())?,
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
        act: impl FnOnce(&mut Store<HostState>, &Guest) -> wasmtime::Result<T> + Send,
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

/// Finds functions of one instance and checks their types.
struct Loader<'a> {
    instance: wasmtime::component::Instance,
    store: &'a mut Store<HostState>,
}

impl Loader<'_> {
    fn function<P, R>(&mut self, at: &ComponentExportIndex) -> wasmtime::Result<TypedFunc<P, R>>
    where
        P: ComponentNamedList + Lower,
        R: ComponentNamedList + Lift,
    {
        self.instance.get_typed_func(&mut *self.store, at)
    }

    fn optional<P, R>(
        &mut self,
        at: Option<&ComponentExportIndex>,
    ) -> wasmtime::Result<Option<TypedFunc<P, R>>>
    where
        P: ComponentNamedList + Lower,
        R: ComponentNamedList + Lift,
    {
        at.map(|at| self.function(at)).transpose()
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

fn prepare(store: &mut Store<HostState>, limits: Limits) {
    store.data_mut().begin(limits);
    store.set_hostcall_fuel(usize::try_from(limits.transfer_bytes).unwrap_or(usize::MAX));
    store.set_epoch_deadline(1);
}

/// Names the limit, or the root cause. What the guest logged last (the SDK sends a panic's
/// message there) is not quoted: it may hold a secret that it was to find.
fn explain(error: &wasmtime::Error, state: &HostState) -> CallError {
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
