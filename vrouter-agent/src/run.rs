//! The agent's thread: start, supervision, stop.
//!
//! Promise: a panic in the agent, in any of its tasks, ends only this run of the agent. The data plane goes on; the next run, a
//! second later, has the same numbers and labels, sets everything again, and sweeps away what is not wanted any more.

use std::cell::RefCell;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use bgp::io::{Driver, Handle};
use bgp::speaker::Update;
use config::Config;
use engine::seam::{EventReceiver, OpSender};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use crate::api::server::{self, Shared};
use crate::api::socket::Socket;
use crate::api::{Ask, Failure};
use crate::carried::{Carried, Plan};
use crate::core::Core;
use crate::labels::Unix;
use crate::peering::{Action, OwnKey};

/// Rest after a panic, so that a fault that comes at once does not spin.
const BACK_OFF: Duration = Duration::from_secs(1);
/// How long peers are given to hear Cease.
const FAREWELL: Duration = Duration::from_secs(2);
/// How soon the data plane is looked at again: while it owes an answer, and otherwise.
pub(crate) const SOON: Duration = Duration::from_millis(1);
const LATER: Duration = Duration::from_millis(10);
/// Routes taken from BGP at once.
const GULP: usize = 4096;

/// What an agent starts with.
pub struct Options {
    /// The configuration; its ports are those of the data plane, in the same order.
    pub config: Config,
    /// The file that it came from, for reload.
    pub file: PathBuf,
    /// Where the API listens.
    pub socket: Socket,
    /// To the service thread.
    pub ops: OpSender,
    /// From the service thread.
    pub events: EventReceiver,
    /// What the data plane said of its workers.
    pub plan: Plan,
    /// When the process started.
    pub started: Instant,
    /// Called once, when the data plane has acknowledged the first generation.
    pub on_forwarding: Box<dyn FnOnce() + Send>,
}

/// A running agent.
pub struct Agent {
    commands: mpsc::UnboundedSender<Command>,
    thread: thread::JoinHandle<()>,
}

enum Command {
    Reload,
    Stop,
}

impl Agent {
    /// Starts the agent's thread.
    ///
    /// # Errors
    /// The system has no thread left.
    pub fn start(options: Options) -> io::Result<Agent> {
        let (commands, control) = mpsc::unbounded_channel();
        let thread = thread::Builder::new()
            .name("agent".into())
            .spawn(move || supervise(options, control))?;
        Ok(Agent { commands, thread })
    }

    /// Reads the configuration file again and applies the difference; the outcome is in the log.
    pub fn reload(&self) {
        // An agent that has ended is found out by `ended`.
        let _ = self.commands.send(Command::Reload);
    }

    /// Whether the thread has ended, which it does not do by itself.
    pub fn ended(&self) -> bool {
        self.thread.is_finished()
    }

    /// Says goodbye to the peers, removes the socket and ends the thread.
    pub fn stop(self) {
        let _ = self.commands.send(Command::Stop);
        if self.thread.join().is_err() {
            tracing::error!("the agent's thread panicked outside its supervision");
        }
    }
}

enum Ended {
    Stopped,
    /// With what it said.
    Panicked(String),
}

/// Runs the agent until it is told to stop, again and again if it panics.
fn supervise(options: Options, mut control: mpsc::UnboundedReceiver<Command>) {
    let Options { config, file, socket, ops, events, plan, started, on_forwarding } = options;
    let mut carried = Carried::new(config, ops, events, started);
    carried.plan = plan;
    let mut on_forwarding = Some(on_forwarding);
    loop {
        match one_run(&mut carried, &socket, &file, &mut control, &mut on_forwarding) {
            Ended::Stopped => return,
            Ended::Panicked(why) => {
                tracing::error!(why, "the agent failed and starts again; forwarding goes on");
                carried.restarts += 1;
                carried.last_panic = why;
                if rest(&mut control) {
                    return;
                }
            }
        }
    }
}

/// Waits; true if told to stop meanwhile.
fn rest(control: &mut mpsc::UnboundedReceiver<Command>) -> bool {
    let end = Instant::now() + BACK_OFF;
    while Instant::now() < end {
        match control.try_recv() {
            Ok(Command::Stop) | Err(mpsc::error::TryRecvError::Disconnected) => return true,
            // The next run reads what the file says when it is asked again.
            Ok(Command::Reload) => tracing::warn!("reload asked for during a restart: ask again"),
            Err(mpsc::error::TryRecvError::Empty) => thread::sleep(Duration::from_millis(20)),
        }
    }
    false
}

type OnForwarding = Option<Box<dyn FnOnce() + Send>>;

fn one_run(
    carried: &mut Carried,
    socket: &Socket,
    file: &Path,
    control: &mut mpsc::UnboundedReceiver<Command>,
    on_forwarding: &mut OnForwarding,
) -> Ended {
    let alarm = Alarm::set();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return Ended::Panicked(format!("no runtime: {error}")),
    };
    // `carried` is plain data that only the core changes, between awaits; the next run treats all of it as stale.
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        runtime.block_on(work(carried, socket, file, control, on_forwarding, &alarm))
    }));
    // Ends every task; one of them may panic once more.
    let dropped = catch_unwind(AssertUnwindSafe(|| drop(runtime)));
    match (outcome, dropped) {
        (Ok(Ok(())), Ok(())) => Ended::Stopped,
        (Ok(Err(why)), _) => Ended::Panicked(alarm.message().unwrap_or(why)),
        _ => Ended::Panicked(alarm.message().unwrap_or_else(|| "panicked".into())),
    }
}

/// A speaker with what feeds it.
struct Speaker {
    actions: mpsc::UnboundedSender<Action>,
    updates: mpsc::Receiver<Update>,
    feeder: JoinHandle<()>,
}

/// The agent itself. It ends with `Ok` only when told to stop.
async fn work(
    carried: &mut Carried,
    socket: &Socket,
    file: &Path,
    control: &mut mpsc::UnboundedReceiver<Command>,
    on_forwarding: &mut OnForwarding,
    alarm: &Alarm,
) -> Result<(), String> {
    let (asks, mut questions) = mpsc::channel::<Ask>(64);
    let (handle, bgp) = watch::channel(None);
    let shared = Shared { asks, bgp, file: file.to_owned() };
    let listener = socket.listener().and_then(tokio::net::UnixListener::from_std);
    let listener = listener.map_err(|error| format!("the API's socket: {error}"))?;
    let mut api = tokio::spawn(async move { axum::serve(listener, server::router(shared)).await });
    let mut core = Core::new(carried, Instant::now(), Unix::now());
    let mut speaker: Option<Speaker> = None;
    loop {
        let now = Instant::now();
        if let Some(speaker) = &mut speaker {
            take_updates(&mut core, speaker)?;
        }
        core.poll(now);
        obey(core.actions(), &mut speaker, &handle);
        if core.forwarding()
            && let Some(tell) = on_forwarding.take()
        {
            tell();
        }
        let pause = if core.eager() {
            Duration::ZERO
        } else if core.busy() {
            SOON
        } else {
            LATER
        };
        tokio::select! {
            Some(Ask { query, reply }) = questions.recv() => {
                core.ask(query, reply, Instant::now(), Unix::now());
            }
            update = next_update(&mut speaker), if core.hungry() => match update {
                Some(update) => core.on_update(update),
                None => return Err("the BGP task ended".into()),
            },
            command = control.recv() => match command {
                Some(Command::Reload) => reload(&mut core, file),
                Some(Command::Stop) | None => break,
            },
            () = alarm.bell.notified() => return Err("a task panicked".into()),
            ended = &mut api => return Err(format!("the API ended: {ended:?}")),
            () = rest_for(pause) => {}
        }
    }
    if let Some(speaker) = speaker.take() {
        drop(speaker.actions);
        let _ = tokio::time::timeout(FAREWELL, speaker.feeder).await;
    }
    Ok(())
}

/// Sleeps, or lets the other tasks have a turn if there is no time to.
async fn rest_for(pause: Duration) {
    match pause {
        Duration::ZERO => tokio::task::yield_now().await,
        pause => tokio::time::sleep(pause).await,
    }
}

/// The next update; never, without a speaker.
async fn next_update(speaker: &mut Option<Speaker>) -> Option<Update> {
    match speaker {
        Some(speaker) => speaker.updates.recv().await,
        None => std::future::pending().await,
    }
}

/// Takes what has come, so that a burst becomes one generation.
fn take_updates(core: &mut Core<'_>, speaker: &mut Speaker) -> Result<(), String> {
    if speaker.feeder.is_finished() {
        return Err("the task that feeds BGP ended".into());
    }
    for _ in 0..GULP {
        if !core.hungry() {
            break;
        }
        match speaker.updates.try_recv() {
            Ok(update) => core.on_update(update),
            Err(mpsc::error::TryRecvError::Empty) => break,
            Err(mpsc::error::TryRecvError::Disconnected) => return Err("the BGP task ended".into()),
        }
    }
    Ok(())
}

/// Does what the core wants of BGP.
fn obey(
    actions: Vec<Action>,
    speaker: &mut Option<Speaker>,
    handle: &watch::Sender<Option<Handle>>,
) {
    for action in actions {
        match action {
            Action::Start(parameters, listen) => {
                let (new, updates) = Driver::spawn(parameters, listen);
                handle.send_replace(Some(new.clone()));
                let (actions, queue) = mpsc::unbounded_channel();
                let feeder = tokio::spawn(feed(new, queue));
                *speaker = Some(Speaker { actions, updates, feeder });
            }
            Action::Stop => {
                handle.send_replace(None);
                *speaker = None;
            }
            action => {
                if let Some(speaker) = speaker {
                    // A feeder that has ended is found out by `take_updates`.
                    let _ = speaker.actions.send(action);
                }
            }
        }
    }
}

/// Hands actions to the speaker in their order; shuts it down when there are no more to come.
async fn feed(handle: Handle, mut queue: mpsc::UnboundedReceiver<Action>) {
    while let Some(action) = queue.recv().await {
        let done = match action {
            Action::Peers(peers) => handle.set_peers(peers).await,
            Action::Imports(targets) => handle.set_imports(targets).await,
            Action::Originate(route) => handle.originate(route).await,
            Action::Withdraw((rd, prefix)) => withdraw(&handle, (rd, prefix)).await,
            Action::Start(..) | Action::Stop => Ok(()),
        };
        if let Err(error) = done {
            tracing::error!(%error, "BGP");
        }
    }
    handle.shutdown().await;
}

async fn withdraw(handle: &Handle, (rd, prefix): OwnKey) -> Result<(), bgp::io::HandleError> {
    handle.withdraw(bgp::types::Route::Vpnv4(rd, prefix)).await
}

/// The configuration file again, for who has no way to be answered.
fn reload(core: &mut Core<'_>, file: &Path) {
    let query = match server::read(file) {
        Ok(query) => query,
        Err(error) => return tracing::error!("reload: {error}"),
    };
    let (reply, answer) = oneshot::channel();
    core.ask(query, reply, Instant::now(), Unix::now());
    tokio::spawn(async move {
        match answer.await {
            Ok(Ok(_)) => tracing::info!("reload: done"),
            Ok(Err(Failure::Refused(errors))) => {
                for error in errors {
                    tracing::error!("reload: {error}");
                }
            }
            Ok(Err(Failure::Unknown(error) | Failure::Unavailable(error))) => {
                tracing::warn!("reload: {error}")
            }
            Err(_) => {}
        }
    });
}

/// Rings when any task on this thread panics, also one whose handle nobody holds.
#[derive(Default)]
struct Alarm {
    bell: Notify,
    said: Mutex<Option<String>>,
}

thread_local! {
    static ALARM: RefCell<Option<Arc<Alarm>>> = const { RefCell::new(None) };
}

impl Alarm {
    /// A new one for this thread.
    fn set() -> Arc<Alarm> {
        static HOOK: Once = Once::new();
        HOOK.call_once(|| {
            let before = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |panic| {
                before(panic);
                let ring = |alarm: &RefCell<Option<Arc<Alarm>>>| {
                    if let Ok(Some(alarm)) = alarm.try_borrow().as_deref() {
                        alarm.ring(describe(panic));
                    }
                };
                // A thread that is past its own destructors has no agent to save.
                let _ = ALARM.try_with(ring);
            }));
        });
        let alarm = Arc::new(Alarm::default());
        ALARM.set(Some(alarm.clone()));
        alarm
    }

    fn ring(&self, why: String) {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(why);
        self.bell.notify_one();
    }

    /// What the first panic said.
    fn message(&self) -> Option<String> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn describe(panic: &std::panic::PanicHookInfo<'_>) -> String {
    let what = panic.payload_as_str().unwrap_or("panicked");
    match panic.location() {
        Some(place) => format!("{what} ({}:{})", place.file(), place.line()),
        None => what.to_owned(),
    }
}
