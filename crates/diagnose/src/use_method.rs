//! Which series tell how busy a host or a pod is, how much waits there, and what fails? The USE method (Gregg 2012: utilisation,
//! saturation and errors of every resource) over what is sent anyway, recognised by its names.
//!
//! A measure is a PromQL query. Names of OTLP are matched both as they come and as Prometheus' naming makes them.

use serde::Serialize;

/// What a measure says of a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Aspect {
    /// Share of the time, or of the room, in which it was in use: 1 is all.
    Utilisation,
    /// Work that waits for it.
    Saturation,
    /// What it failed at.
    Errors,
}

/// What the number is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// A share of all; 1 is all.
    Ratio,
    /// Things that wait, for each thing that serves them.
    Queue,
    /// Events a second.
    PerSecond,
    /// Events in the window.
    Events,
}

/// What is measured of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EntityKind {
    /// A machine.
    Host,
    /// A pod of Kubernetes.
    Pod,
}

/// One of the series that tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Measure {
    /// Of what.
    pub kind: EntityKind,
    /// Who sends them.
    pub sender: &'static str,
    /// The labels that name the entity; the others of a result name the part, such as a device.
    pub entity: &'static [&'static str],
    /// `cpu`, `memory`, `disk`, `filesystem` or `network`.
    pub resource: &'static str,
    /// What it says.
    pub aspect: Aspect,
    /// Of the number.
    pub unit: Unit,
    /// PromQL, with `$window` for the time that rates are taken over.
    pub query: &'static str,
}

const NODE: &[&str] = &["instance"];
const HOST: &[&str] = &["host_name", "host.name"];
const POD: &[&str] = &["k8s_namespace_name", "k8s.namespace.name", "k8s_pod_name", "k8s.pod.name"];
const CONTAINER: &[&str] = &["namespace", "pod"];
const NODE_EXPORTER: &str = "node_exporter";
const HOST_METRICS: &str = "OTel host metrics";
const KUBELET_STATS: &str = "OTel kubelet stats";
const CADVISOR: &str = "cAdvisor";

const fn of(
    kind: EntityKind,
    sender: &'static str,
    entity: &'static [&'static str],
    (resource, aspect, unit): (&'static str, Aspect, Unit),
    query: &'static str,
) -> Measure {
    Measure { kind, sender, entity, resource, aspect, unit, query }
}

const fn node(what: (&'static str, Aspect, Unit), query: &'static str) -> Measure {
    of(EntityKind::Host, NODE_EXPORTER, NODE, what, query)
}

const fn host(what: (&'static str, Aspect, Unit), query: &'static str) -> Measure {
    of(EntityKind::Host, HOST_METRICS, HOST, what, query)
}

const fn pod(what: (&'static str, Aspect, Unit), query: &'static str) -> Measure {
    of(EntityKind::Pod, KUBELET_STATS, POD, what, query)
}

const fn container(what: (&'static str, Aspect, Unit), query: &'static str) -> Measure {
    of(EntityKind::Pod, CADVISOR, CONTAINER, what, query)
}

const CPU_BUSY: (&str, Aspect, Unit) = ("cpu", Aspect::Utilisation, Unit::Ratio);
const CPU_QUEUE: (&str, Aspect, Unit) = ("cpu", Aspect::Saturation, Unit::Queue);
const CPU_WAITING: (&str, Aspect, Unit) = ("cpu", Aspect::Saturation, Unit::Ratio);
const MEMORY_USED: (&str, Aspect, Unit) = ("memory", Aspect::Utilisation, Unit::Ratio);
const MEMORY_FAULTS: (&str, Aspect, Unit) = ("memory", Aspect::Saturation, Unit::PerSecond);
const MEMORY_KILLS: (&str, Aspect, Unit) = ("memory", Aspect::Errors, Unit::Events);
const DISK_BUSY: (&str, Aspect, Unit) = ("disk", Aspect::Utilisation, Unit::Ratio);
const DISK_QUEUE: (&str, Aspect, Unit) = ("disk", Aspect::Saturation, Unit::Queue);
const FILES_USED: (&str, Aspect, Unit) = ("filesystem", Aspect::Utilisation, Unit::Ratio);
const FILES_ERRORS: (&str, Aspect, Unit) = ("filesystem", Aspect::Errors, Unit::Events);
const NETWORK_BUSY: (&str, Aspect, Unit) = ("network", Aspect::Utilisation, Unit::Ratio);
const NETWORK_DROPS: (&str, Aspect, Unit) = ("network", Aspect::Saturation, Unit::PerSecond);
const NETWORK_ERRORS: (&str, Aspect, Unit) = ("network", Aspect::Errors, Unit::PerSecond);

/// All measures. Names are those of node_exporter 1.x, the collector's hostmetrics and kubeletstats receivers and cAdvisor.
pub const MEASURES: &[Measure] = &[
    node(
        CPU_BUSY,
        r#"1 - avg by (instance) (sum by (instance, job, cpu) (rate(node_cpu_seconds_total{mode=~"idle|iowait"}[$window])))"#,
    ),
    node(
        CPU_QUEUE,
        r#"max by (instance) (node_load1) / count by (instance) (count by (instance, cpu) (node_cpu_seconds_total{mode="idle"}))"#,
    ),
    node(
        MEMORY_USED,
        "1 - max by (instance) (node_memory_MemAvailable_bytes) / max by (instance) (node_memory_MemTotal_bytes)",
    ),
    node(MEMORY_FAULTS, "max by (instance) (rate(node_vmstat_pgmajfault[$window]))"),
    node(MEMORY_KILLS, "max by (instance) (increase(node_vmstat_oom_kill[$window]))"),
    node(DISK_BUSY, "max by (instance, device) (rate(node_disk_io_time_seconds_total[$window]))"),
    node(DISK_QUEUE, "max by (instance, device) (rate(node_disk_io_time_weighted_seconds_total[$window]))"),
    node(
        FILES_USED,
        r#"max by (instance, mountpoint) (1 - node_filesystem_avail_bytes{fstype!~"tmpfs|ramfs|overlay|squashfs|devtmpfs"} / node_filesystem_size_bytes)"#,
    ),
    node(
        FILES_ERRORS,
        r#"max by (instance, mountpoint) (node_filesystem_device_error{fstype!~"tmpfs|ramfs|overlay|squashfs|devtmpfs"})"#,
    ),
    node(
        NETWORK_BUSY,
        r#"max by (instance, device) (rate(node_network_receive_bytes_total{device!="lo"}[$window]) / (node_network_speed_bytes > 0))"#,
    ),
    node(
        NETWORK_BUSY,
        r#"max by (instance, device) (rate(node_network_transmit_bytes_total{device!="lo"}[$window]) / (node_network_speed_bytes > 0))"#,
    ),
    node(
        NETWORK_DROPS,
        r#"max by (instance, device) (sum by (instance, job, device) (rate({__name__=~"node_network_(receive|transmit)_drop_total", device!="lo"}[$window])))"#,
    ),
    node(
        NETWORK_ERRORS,
        r#"max by (instance, device) (sum by (instance, job, device) (rate({__name__=~"node_network_(receive|transmit)_errs_total", device!="lo"}[$window])))"#,
    ),
    host(
        CPU_BUSY,
        r#"1 - sum by (host_name, "host.name") (rate({__name__=~"system_cpu_time_seconds_total|system.cpu.time(_seconds_total)?", state=~"idle|wait"}[$window])) / sum by (host_name, "host.name") (rate({__name__=~"system_cpu_time_seconds_total|system.cpu.time(_seconds_total)?"}[$window]))"#,
    ),
    host(
        CPU_QUEUE,
        r#"max by (host_name, "host.name") ({__name__=~"system[_.]cpu[_.]load_average[_.]1m"}) / count by (host_name, "host.name") ({__name__=~"system_cpu_time_seconds_total|system.cpu.time(_seconds_total)?", state="idle"})"#,
    ),
    host(
        MEMORY_USED,
        r#"sum by (host_name, "host.name") ({__name__=~"system_memory_usage_bytes|system.memory.usage(_bytes)?", state="used"}) / sum by (host_name, "host.name") ({__name__=~"system_memory_usage_bytes|system.memory.usage(_bytes)?", state!~"slab_.*"})"#,
    ),
    host(
        MEMORY_FAULTS,
        r#"sum by (host_name, "host.name") (rate({__name__=~"system_paging_faults_total|system.paging.faults(_total)?", type="major"}[$window]))"#,
    ),
    host(
        DISK_BUSY,
        r#"max by (host_name, "host.name", device) (rate({__name__=~"system_disk_io_time_seconds_total|system.disk.io_time(_seconds_total)?"}[$window]))"#,
    ),
    host(
        DISK_QUEUE,
        r#"max by (host_name, "host.name", device) (rate({__name__=~"system_disk_weighted_io_time_seconds_total|system.disk.weighted_io_time(_seconds_total)?"}[$window]))"#,
    ),
    host(
        FILES_USED,
        r#"sum by (host_name, "host.name", mountpoint) ({__name__=~"system_filesystem_usage_bytes|system.filesystem.usage(_bytes)?", state=~"used|reserved", type!~"tmpfs|overlay|squashfs|devtmpfs"}) / sum by (host_name, "host.name", mountpoint) ({__name__=~"system_filesystem_usage_bytes|system.filesystem.usage(_bytes)?", type!~"tmpfs|overlay|squashfs|devtmpfs"})"#,
    ),
    host(
        NETWORK_DROPS,
        r#"sum by (host_name, "host.name", device) (rate({__name__=~"system_network_dropped_total|system.network.dropped(_total)?", device!="lo"}[$window]))"#,
    ),
    host(
        NETWORK_ERRORS,
        r#"sum by (host_name, "host.name", device) (rate({__name__=~"system_network_errors_total|system.network.errors(_total)?", device!="lo"}[$window]))"#,
    ),
    pod(
        CPU_BUSY,
        r#"max by (k8s_namespace_name, "k8s.namespace.name", k8s_pod_name, "k8s.pod.name") ({__name__=~"k8s[_.]pod[_.]cpu_limit_utilization(_ratio)?"})"#,
    ),
    pod(
        MEMORY_USED,
        r#"max by (k8s_namespace_name, "k8s.namespace.name", k8s_pod_name, "k8s.pod.name") ({__name__=~"k8s[_.]pod[_.]memory_limit_utilization(_ratio)?"})"#,
    ),
    pod(
        MEMORY_FAULTS,
        r#"max by (k8s_namespace_name, "k8s.namespace.name", k8s_pod_name, "k8s.pod.name") (deriv({__name__=~"k8s[_.]pod[_.]memory[_.]major_page_faults(_ratio)?"}[$window]))"#,
    ),
    pod(
        FILES_USED,
        r#"max by (k8s_namespace_name, "k8s.namespace.name", k8s_pod_name, "k8s.pod.name") (label_replace({__name__=~"k8s[_.]pod[_.]filesystem[_.]usage(_bytes)?"}, "__name__", "", "", "") / label_replace({__name__=~"k8s[_.]pod[_.]filesystem[_.]capacity(_bytes)?"}, "__name__", "", "", ""))"#,
    ),
    pod(
        NETWORK_ERRORS,
        r#"sum by (k8s_namespace_name, "k8s.namespace.name", k8s_pod_name, "k8s.pod.name", interface) (rate({__name__=~"k8s[_.]pod[_.]network[_.]errors(_total)?"}[$window]))"#,
    ),
    container(
        CPU_BUSY,
        r#"max by (namespace, pod, container) (sum by (namespace, pod, container) (rate(container_cpu_usage_seconds_total{container!="", container!="POD"}[$window])) / max by (namespace, pod, container) (container_spec_cpu_quota{container!="", container!="POD"} / container_spec_cpu_period))"#,
    ),
    container(
        CPU_WAITING,
        r#"sum by (namespace, pod) (rate(container_cpu_cfs_throttled_periods_total{container!=""}[$window])) / sum by (namespace, pod) (rate(container_cpu_cfs_periods_total{container!=""}[$window]))"#,
    ),
    container(
        MEMORY_USED,
        r#"max by (namespace, pod, container) (container_memory_working_set_bytes{container!="", container!="POD"} / (container_spec_memory_limit_bytes > 0))"#,
    ),
    container(
        MEMORY_KILLS,
        r#"sum by (namespace, pod) (increase(container_oom_events_total{container!=""}[$window]))"#,
    ),
    container(
        NETWORK_DROPS,
        r#"sum by (namespace, pod, interface) (rate({__name__=~"container_network_(receive|transmit)_packets_dropped_total", pod!=""}[$window]))"#,
    ),
    container(
        NETWORK_ERRORS,
        r#"sum by (namespace, pod, interface) (rate({__name__=~"container_network_(receive|transmit)_errors_total", pod!=""}[$window]))"#,
    ),
];
