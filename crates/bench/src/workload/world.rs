//! Which services are there, who calls whom, and what happened in trace number n? The world that logs and spans both tell of.

use super::random::Random;

/// 2026-11-20T00:00:00Z: fixed, so that the same seed gives the same bytes on any day.
pub const START_NS: u64 = 1_795_132_800_000_000_000;
/// All telemetry falls within one hour, whatever its amount.
pub const SPAN_OF_TIME_NS: u64 = 3_600_000_000_000;
/// Users are drawn from so many.
pub const USERS: u64 = 50_000;
/// Instances (pods) of each service.
pub const INSTANCES: u64 = 3;
/// Traces in which something fails.
const FAILING: f64 = 0.03;

/// A service.
#[derive(Debug)]
pub struct Service {
    pub name: &'static str,
    pub language: &'static str,
    pub version: &'static str,
    pub scope: &'static str,
}

/// A database statement that a route runs.
#[derive(Debug)]
pub struct Statement {
    pub system: &'static str,
    pub text: &'static str,
}

/// One operation of a service.
#[derive(Debug)]
pub struct Route {
    pub service: usize,
    pub method: &'static str,
    pub path: &'static str,
    /// Median and deviation (of the logarithm) of its own time in microseconds.
    pub median_us: f64,
    pub sigma: f64,
    pub statement: Option<Statement>,
    /// The routes that it calls, in turn; a called route never calls back.
    pub calls: &'static [usize],
}

const fn service(name: &'static str, language: &'static str, version: &'static str, scope: &'static str) -> Service {
    Service { name, language, version, scope }
}

const fn route(
    service: usize,
    (method, path): (&'static str, &'static str),
    (median_us, sigma): (f64, f64),
    statement: Option<Statement>,
    calls: &'static [usize],
) -> Route {
    Route { service, method, path, median_us, sigma, statement, calls }
}

const fn sql(text: &'static str) -> Option<Statement> {
    Some(Statement { system: "postgresql", text })
}

const fn redis(text: &'static str) -> Option<Statement> {
    Some(Statement { system: "redis", text })
}

/// The services.
pub const SERVICES: [Service; 10] = [
    service("frontend", "nodejs", "4.12.3", "@opentelemetry/instrumentation-http"),
    service("cart", "dotnet", "2.3.0", "OpenTelemetry.Instrumentation.AspNetCore"),
    service("catalog", "go", "1.31.7", "go.opentelemetry.io/contrib/net/http/otelhttp"),
    service("checkout", "go", "3.0.1", "go.opentelemetry.io/contrib/net/http/otelhttp"),
    service("payment", "java", "7.8.11", "io.opentelemetry.spring-webmvc-6.0"),
    service("shipping", "rust", "0.9.4", "opentelemetry-tower"),
    service("inventory", "java", "5.2.0", "io.opentelemetry.spring-webmvc-6.0"),
    service("recommendation", "python", "1.4.2", "opentelemetry.instrumentation.flask"),
    service("auth", "rust", "2.0.8", "opentelemetry-tower"),
    service("notification", "ruby", "1.1.19", "OpenTelemetry::Instrumentation::Rack"),
];

/// The routes; the first four are where requests come in.
pub const ROUTES: [Route; 15] = [
    route(0, ("GET", "/products"), (4_000.0, 0.5), None, &[4, 5]),
    route(0, ("GET", "/products/{product_id}"), (3_000.0, 0.5), None, &[6, 7, 5]),
    route(0, ("POST", "/cart/items"), (2_500.0, 0.6), None, &[8, 9, 7]),
    route(0, ("POST", "/checkout"), (9_000.0, 0.7), None, &[8, 10]),
    route(
        2,
        ("GET", "/catalog/v1/search"),
        (1_800.0, 0.6),
        sql("SELECT id, name, price FROM products WHERE category = $1 ORDER BY rank LIMIT 40"),
        &[],
    ),
    route(7, ("GET", "/recommendations"), (12_000.0, 0.9), None, &[]),
    route(
        2,
        ("GET", "/catalog/v1/products/{product_id}"),
        (900.0, 0.5),
        sql("SELECT id, name, price, attributes FROM products WHERE id = $1"),
        &[],
    ),
    route(
        6,
        ("GET", "/inventory/{sku}"),
        (1_100.0, 0.6),
        sql("SELECT available, reserved FROM stock WHERE sku = $1 AND warehouse = $2"),
        &[],
    ),
    route(8, ("POST", "/auth/introspect"), (600.0, 0.4), redis("GET session:?"), &[]),
    route(1, ("POST", "/cart/{user_id}/items"), (800.0, 0.5), redis("HSET cart:? ? ?"), &[]),
    route(3, ("POST", "/orders"), (5_000.0, 0.6), None, &[11, 12, 13, 14]),
    route(
        4,
        ("POST", "/payments/charge"),
        (45_000.0, 0.8),
        sql("INSERT INTO charges (order_id, amount, currency, status) VALUES ($1, $2, $3, $4) RETURNING id"),
        &[],
    ),
    route(
        6,
        ("POST", "/inventory/reserve"),
        (3_200.0, 0.7),
        sql("UPDATE stock SET reserved = reserved + $1 WHERE sku = $2 AND available >= $1"),
        &[],
    ),
    route(5, ("POST", "/shipping/quote"), (7_000.0, 0.7), None, &[]),
    route(9, ("POST", "/notifications"), (1_500.0, 0.8), redis("LPUSH outbox ?"), &[]),
];

/// One span of a trace, before it is told as OTLP.
#[derive(Debug, Clone)]
pub struct Step {
    pub route: usize,
    pub instance: u64,
    pub span_id: [u8; 8],
    pub parent: Option<usize>,
    pub start_ns: u64,
    pub duration_ns: u64,
    pub failed: bool,
    /// Whether it is the call of the route's database, not the route itself.
    pub database: bool,
}

/// What happened in one trace.
#[derive(Debug)]
pub struct Trace {
    pub id: [u8; 16],
    pub user: u64,
    pub order: u64,
    pub steps: Vec<Step>,
    /// The stream from which the words about it are drawn.
    pub random: Random,
}

impl Trace {
    /// Trace number `index` of `count`.
    pub fn new(seed: u64, index: u64, count: u64) -> Self {
        let mut random = Random::new(seed, index);
        let slot_ns = SPAN_OF_TIME_NS / count.max(1);
        let start_ns = START_NS + index * slot_ns + random.below(slot_ns.max(1));
        let entry = match random.below(100) {
            0..20 => 0,
            20..45 => 1,
            45..65 => 2,
            _ => 3,
        };
        let mut trace = Self {
            id: random.id128(),
            // Cubed: some users come far more often than others.
            user: (random.unit().powi(3) * USERS as f64) as u64,
            order: 10_000_000 + random.below(90_000_000),
            steps: Vec::with_capacity(14),
            random,
        };
        trace.walk(entry, None, start_ns);
        if trace.random.chance(FAILING) {
            trace.fail();
        }
        trace
    }

    /// Adds a route with all that it calls; returns when it ended.
    fn walk(&mut self, route: usize, parent: Option<usize>, start_ns: u64) -> u64 {
        let what = &ROUTES[route];
        let own_ns = (self.random.log_normal(what.median_us, what.sigma) * 1_000.0) as u64;
        let instance = self.random.below(INSTANCES);
        let step = self.push(route, instance, parent, start_ns, false);
        let mut now_ns = start_ns + own_ns / 3;
        if what.statement.is_some() {
            let query = self.push(route, instance, Some(step), now_ns, true);
            self.steps[query].duration_ns = own_ns / 2;
            now_ns += own_ns / 2;
        }
        for called in what.calls {
            let network_ns = 40_000 + self.random.below(200_000);
            now_ns = self.walk(*called, Some(step), now_ns + network_ns);
        }
        let end_ns = now_ns + own_ns / 6;
        self.steps[step].duration_ns = end_ns - start_ns;
        end_ns
    }

    fn push(&mut self, route: usize, instance: u64, parent: Option<usize>, start_ns: u64, database: bool) -> usize {
        let span_id = self.random.id64();
        self.steps.push(Step { route, instance, span_id, parent, start_ns, duration_ns: 0, failed: false, database });
        self.steps.len() - 1
    }

    /// One step fails, and with it all above it.
    fn fail(&mut self) {
        let mut failing = Some(self.random.below(self.steps.len() as u64) as usize);
        while let Some(index) = failing {
            self.steps[index].failed = true;
            failing = self.steps[index].parent;
        }
    }
}

/// A resource: one instance of a service. Everything about it follows from the two numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Instance {
    pub service: usize,
    pub number: u64,
}

impl Instance {
    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..SERVICES.len()).flat_map(|service| (0..INSTANCES).map(move |number| Self { service, number }))
    }

    /// Its place in [`Instance::all`].
    pub fn index(self) -> usize {
        self.service * INSTANCES as usize + self.number as usize
    }

    /// The instance on which a step ran.
    pub fn of(step: &Step) -> Self {
        Self { service: ROUTES[step.route].service, number: step.instance }
    }

    /// The instance that measures series number `index`: ten in a row are of one.
    pub fn of_series(index: u64) -> Self {
        let number = index / 10 % (SERVICES.len() as u64 * INSTANCES);
        Self { service: (number / INSTANCES) as usize, number: number % INSTANCES }
    }

    /// Its service.
    pub fn service(self) -> &'static Service {
        &SERVICES[self.service]
    }

    /// Its resource attributes.
    pub fn attributes(self) -> Vec<(&'static str, String)> {
        let service = self.service();
        let region = ["eu-west-1", "us-east-1", "ap-south-1"][self.number as usize % 3];
        let mut random = Random::new(0xCA05_E3A7, self.index() as u64);
        let pod = format!("{}-{:08x}-{:05x}", service.name, random.next() as u32, random.below(1 << 20));
        vec![
            ("service.name", service.name.to_owned()),
            ("service.version", service.version.to_owned()),
            ("service.instance.id", pod.clone()),
            ("deployment.environment.name", "production".to_owned()),
            ("cloud.region", region.to_owned()),
            ("host.name", format!("ip-10-{}-{}-17", self.number, random.below(200))),
            ("k8s.pod.name", pod),
            ("telemetry.sdk.language", service.language.to_owned()),
        ]
    }
}
