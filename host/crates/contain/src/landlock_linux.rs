//! The part of [`landlock`](super::landlock) that speaks to the kernel.

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, LandlockStatus, NetPort,
    PathBeneath, PathFd, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError, RulesetStatus, Scope,
    path_beneath_rules,
};

use super::landlock::{Error, Rules};

impl From<RulesetError> for Error {
    fn from(error: RulesetError) -> Self {
        Error::Rules(error.to_string())
    }
}

/// The newest interface whose rights were tried with real programs.
const TESTED: ABI = ABI::V6;

/// Devices that programs write to as a matter of course.
const DEVICES: &[&str] = &[
    "/dev/null",
    "/dev/zero",
    "/dev/full",
    "/dev/random",
    "/dev/urandom",
    "/dev/tty",
    "/dev/ptmx",
    "/dev/pts",
    "/dev/shm",
];

/// Binds the calling thread, for ever, and every process started from it. Gives the
/// interface version in force.
pub(super) fn restrict_this_thread(rules: &Rules) -> Result<i32, Error> {
    let mut ruleset = Ruleset::default().set_compatibility(CompatLevel::BestEffort);
    if rules.files.is_some() {
        ruleset = ruleset.handle_access(AccessFs::from_all(TESTED))?;
    }
    if rules.scoped {
        ruleset = ruleset.scope(Scope::from_all(TESTED))?;
    }
    if rules.connect_ports.is_some() {
        // Listening too: nobody outside is to reach a server of the tree's.
        ruleset = ruleset.handle_access(AccessNet::ConnectTcp | AccessNet::BindTcp)?;
    }
    let mut created = ruleset.create()?;
    if let Some(files) = &rules.files {
        let read = AccessFs::from_read(TESTED);
        let all = AccessFs::from_all(TESTED);
        created = created
            .add_rules(path_beneath_rules(&files.listed, BitFlags::from(AccessFs::ReadDir)))?
            .add_rules(path_beneath_rules(&files.readable, read))?
            .add_rules(path_beneath_rules(DEVICES, all))?;
        let writable = files.writable.iter().map(|same| (same, all));
        for (same, access) in writable.chain(files.readable_same.iter().map(|same| (same, read))) {
            // Opened once: what is compared is what the rule is on.
            let Ok(fd) = PathFd::new(&same.path) else { continue };
            let opened = rustix::fs::fstat(&fd).map_err(|error| Error::Rules(error.to_string()))?;
            if (opened.st_dev, opened.st_ino) != (same.device, same.inode) {
                return Err(Error::Replaced(same.path.display().to_string()));
            }
            let is_dir = rustix::fs::FileType::from_raw_mode(opened.st_mode).is_dir();
            let access = if is_dir { access } else { access & AccessFs::from_file(TESTED) };
            created = created.add_rule(PathBeneath::new(fd, access))?;
        }
    }
    if let Some(ports) = &rules.connect_ports {
        created = created
            .add_rules(ports.iter().map(|port| Ok::<_, Error>(NetPort::new(*port, AccessNet::ConnectTcp))))?;
    }
    let status = created.restrict_self()?;
    if status.ruleset == RulesetStatus::NotEnforced {
        return Err(Error::NotEnforced);
    }
    if rules.files.is_some() {
        give_up_capabilities()?;
    }
    Ok(match status.landlock {
        LandlockStatus::Available { effective_abi, .. } => effective_abi as i32,
        _ => 0,
    })
}

/// Landlock does not limit what root may do to the kernel itself. Together with
/// `no_new_privs`, which Landlock sets, the capabilities do not come back.
fn give_up_capabilities() -> Result<(), Error> {
    use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};
    let none = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })
        .map_err(|error| Error::Capabilities(error.into()))
}
