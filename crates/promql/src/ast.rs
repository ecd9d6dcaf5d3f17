//! What can be written in PromQL? The syntax tree, close to the names of Prometheus' own (promql/parser/ast.go); each node knows
//! where in the text it stands, as annotations name their place.

use crate::Matcher;

/// A place in the query's text: bytes from `start` up to but without `end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// Byte after the last.
    pub end: usize,
}

/// The type of an expression's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ValueType {
    /// One number at each step.
    Scalar,
    /// A text.
    String,
    /// A set of series with one value at each step: an instant vector.
    Vector,
    /// A set of series with the samples of a range at each step: a range vector.
    Matrix,
}

/// An expression and its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Expr {
    /// What it is.
    pub kind: ExprKind,
    /// Where it stands.
    pub span: Span,
}

/// What an expression is.
#[derive(Debug, Clone, PartialEq)]
pub enum ExprKind {
    /// A number; `as_duration` where it was written as one (`5m`), in seconds.
    Number {
        /// The value.
        value: f64,
        /// Whether it was written as a duration.
        as_duration: bool,
    },
    /// A text.
    String(String),
    /// An instant vector selector.
    Selector(Selector),
    /// A range vector selector, `selector[range]`.
    Range {
        /// The series.
        selector: Selector,
        /// Where the selector without its range stands.
        selector_span: Span,
        /// The length of the window.
        range: Duration,
    },
    /// `expr[range:step] @ … offset …`.
    Subquery(Box<Subquery>),
    /// `-expr` or `+expr`.
    Unary {
        /// Whether it is `-`.
        negative: bool,
        /// The operand.
        operand: Box<Expr>,
    },
    /// `(expr)`.
    Paren(Box<Expr>),
    /// `left operator right`.
    Binary(Box<Binary>),
    /// `sum by (…) (…)` and its kin.
    Aggregate(Box<Aggregate>),
    /// `function(arguments)`.
    Call {
        /// The function.
        function: Function,
        /// Its arguments as written.
        arguments: Vec<Expr>,
    },
}

/// A vector selector.
#[derive(Debug, Clone, PartialEq)]
pub struct Selector {
    /// The metric's name where it was written outside of the braces.
    pub name: Option<String>,
    /// All matchers, that of the name included (as `__name__`).
    pub matchers: Vec<Matcher>,
    /// `offset`.
    pub offset: Option<Duration>,
    /// `@`.
    pub at: Option<At>,
    /// `anchored` or `smoothed`.
    pub extension: Option<Extension>,
}

/// How a range or instant selector treats the edges of its window (experimental; proposal PROM-52).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extension {
    /// `anchored`: the sample before the window stands for its begin.
    Anchored,
    /// `smoothed`: values at the edges are interpolated.
    Smoothed,
}

/// `@`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum At {
    /// A time in milliseconds since 1970.
    TimeMs(i64),
    /// `start()` of the query.
    Start,
    /// `end()` of the query.
    End,
}

/// A subquery.
#[derive(Debug, Clone, PartialEq)]
pub struct Subquery {
    /// What is evaluated at each step.
    pub expr: Expr,
    /// The length of the window.
    pub range: Duration,
    /// The distance of its steps; the default where there is none.
    pub step: Option<Duration>,
    /// `offset`.
    pub offset: Option<Duration>,
    /// `@`.
    pub at: Option<At>,
}

/// A duration as written: a literal, or arithmetic that needs the query's step and range (experimental).
#[derive(Debug, Clone, PartialEq)]
pub struct Duration {
    /// What it is.
    pub kind: DurationKind,
    /// Where it stands.
    pub span: Span,
}

/// What a duration is.
#[derive(Debug, Clone, PartialEq)]
pub enum DurationKind {
    /// A number of seconds; `as_duration` where it was written with units.
    Literal {
        /// Seconds.
        seconds: f64,
        /// Whether it was written with units.
        as_duration: bool,
    },
    /// `step()`: the query's step.
    Step,
    /// `range()`: the query's end minus its start.
    Range,
    /// `-duration` or `+duration`.
    Unary {
        /// Whether it is `-`.
        negative: bool,
        /// The operand.
        operand: Box<Duration>,
    },
    /// `(duration)`.
    Paren(Box<Duration>),
    /// `left operator right`, or `min(left, right)`, `max(left, right)`.
    Binary {
        /// Which.
        operator: DurationOperator,
        /// The left operand.
        left: Box<Duration>,
        /// The right operand.
        right: Box<Duration>,
    },
}

/// An operator between durations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum DurationOperator {
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
    Power,
    Min,
    Max,
}

/// An operator between two expressions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum BinaryOperator {
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
    Power,
    Atan2,
    Equal,
    NotEqual,
    Less,
    Greater,
    LessOrEqual,
    GreaterOrEqual,
    And,
    Or,
    Unless,
    /// `</`: keeps the part of a native histogram below a bound.
    TrimUpper,
    /// `>/`: keeps the part of a native histogram above a bound.
    TrimLower,
}

/// An operation between two expressions.
#[derive(Debug, Clone, PartialEq)]
pub struct Binary {
    /// The operator.
    pub operator: BinaryOperator,
    /// The left operand.
    pub left: Expr,
    /// The right operand.
    pub right: Expr,
    /// Whether a comparison gives 0 and 1 instead of filtering.
    pub returns_bool: bool,
    /// How series of two vectors find each other; `None` where an operand is a scalar.
    pub matching: Option<Matching>,
}

/// How the series of two vectors find each other.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Matching {
    /// One to one, or which side may have several.
    pub cardinality: Cardinality,
    /// The labels of `on` or `ignoring`.
    pub labels: Vec<String>,
    /// Whether they were given by `on`.
    pub on: bool,
    /// The labels of `group_left(…)` or `group_right(…)`, taken from the one side.
    pub include: Vec<String>,
    /// What stands for a missing series on the left (`fill`, `fill_left`).
    pub fill_left: Option<f64>,
    /// What stands for a missing series on the right (`fill`, `fill_right`).
    pub fill_right: Option<f64>,
}

/// How many series may match.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Cardinality {
    /// One with one.
    #[default]
    OneToOne,
    /// `group_left`.
    ManyToOne,
    /// `group_right`.
    OneToMany,
    /// The set operators.
    ManyToMany,
}

/// Which aggregation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum AggregateOperator {
    Sum,
    Avg,
    Count,
    Min,
    Max,
    Group,
    Stddev,
    Stdvar,
    Topk,
    Bottomk,
    CountValues,
    Quantile,
    Limitk,
    LimitRatio,
}

/// An aggregation over series.
#[derive(Debug, Clone, PartialEq)]
pub struct Aggregate {
    /// Which.
    pub operator: AggregateOperator,
    /// What is aggregated.
    pub expr: Expr,
    /// k, the quantile, the label's name or the ratio, where the operator takes one.
    pub parameter: Option<Expr>,
    /// The labels of `by` or `without`.
    pub grouping: Vec<String>,
    /// Whether they were given by `without`.
    pub without: bool,
}

macro_rules! functions {
    ($($variant:ident $name:literal $experimental:literal $result:ident [$($argument:ident)*] $optional:literal;)*) => {
        /// Which function. Their signatures are those of Prometheus (promql/parser/functions.go).
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[allow(missing_docs)]
        pub enum Function {
            $($variant,)*
        }

        impl Function {
            /// All functions.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The name in a query.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// Whether it is behind the switch for experimental functions.
            pub fn is_experimental(self) -> bool {
                match self {
                    $(Self::$variant => $experimental,)*
                }
            }

            /// The type of its value.
            pub fn result(self) -> ValueType {
                match self {
                    $(Self::$variant => ValueType::$result,)*
                }
            }

            /// The types of its arguments.
            pub fn arguments(self) -> &'static [ValueType] {
                match self {
                    $(Self::$variant => &[$(ValueType::$argument,)*],)*
                }
            }

            /// How many of its last arguments may be left out; -1 where the last may be repeated any number of times (0 included).
            pub fn optional(self) -> i32 {
                match self {
                    $(Self::$variant => $optional,)*
                }
            }
        }
    };
}

functions! {
    Abs "abs" false Vector [Vector] 0;
    Absent "absent" false Vector [Vector] 0;
    AbsentOverTime "absent_over_time" false Vector [Matrix] 0;
    Acos "acos" false Vector [Vector] 0;
    Acosh "acosh" false Vector [Vector] 0;
    Asin "asin" false Vector [Vector] 0;
    Asinh "asinh" false Vector [Vector] 0;
    Atan "atan" false Vector [Vector] 0;
    Atanh "atanh" false Vector [Vector] 0;
    AvgOverTime "avg_over_time" false Vector [Matrix] 0;
    Ceil "ceil" false Vector [Vector] 0;
    Changes "changes" false Vector [Matrix] 0;
    Clamp "clamp" false Vector [Vector Scalar Scalar] 0;
    ClampMax "clamp_max" false Vector [Vector Scalar] 0;
    ClampMin "clamp_min" false Vector [Vector Scalar] 0;
    Cos "cos" false Vector [Vector] 0;
    Cosh "cosh" false Vector [Vector] 0;
    CountOverTime "count_over_time" false Vector [Matrix] 0;
    DayOfMonth "day_of_month" false Vector [Vector] 1;
    DayOfWeek "day_of_week" false Vector [Vector] 1;
    DayOfYear "day_of_year" false Vector [Vector] 1;
    DaysInMonth "days_in_month" false Vector [Vector] 1;
    Deg "deg" false Vector [Vector] 0;
    Delta "delta" false Vector [Matrix] 0;
    Deriv "deriv" false Vector [Matrix] 0;
    DoubleExponentialSmoothing "double_exponential_smoothing" true Vector [Matrix Scalar Scalar] 0;
    End "end" true Scalar [] 0;
    Exp "exp" false Vector [Vector] 0;
    FirstOverTime "first_over_time" true Vector [Matrix] 0;
    Floor "floor" false Vector [Vector] 0;
    HistogramAvg "histogram_avg" false Vector [Vector] 0;
    HistogramCount "histogram_count" false Vector [Vector] 0;
    HistogramFraction "histogram_fraction" false Vector [Scalar Scalar Vector] 0;
    HistogramQuantile "histogram_quantile" false Vector [Scalar Vector] 0;
    HistogramQuantiles "histogram_quantiles" true Vector [Vector String Scalar Scalar] -1;
    HistogramStddev "histogram_stddev" false Vector [Vector] 0;
    HistogramStdvar "histogram_stdvar" false Vector [Vector] 0;
    HistogramSum "histogram_sum" false Vector [Vector] 0;
    Hour "hour" false Vector [Vector] 1;
    Idelta "idelta" false Vector [Matrix] 0;
    Increase "increase" false Vector [Matrix] 0;
    Info "info" true Vector [Vector Vector] 1;
    Irate "irate" false Vector [Matrix] 0;
    LabelJoin "label_join" false Vector [Vector String String String] -1;
    LabelReplace "label_replace" false Vector [Vector String String String String] 0;
    LastOverTime "last_over_time" false Vector [Matrix] 0;
    Ln "ln" false Vector [Vector] 0;
    Log10 "log10" false Vector [Vector] 0;
    Log2 "log2" false Vector [Vector] 0;
    MadOverTime "mad_over_time" true Vector [Matrix] 0;
    MaxOverTime "max_over_time" false Vector [Matrix] 0;
    MaxOf "max_of" true Scalar [Scalar Scalar] 0;
    MinOf "min_of" true Scalar [Scalar Scalar] 0;
    MinOverTime "min_over_time" false Vector [Matrix] 0;
    Minute "minute" false Vector [Vector] 1;
    Month "month" false Vector [Vector] 1;
    Pi "pi" false Scalar [] 0;
    PredictLinear "predict_linear" false Vector [Matrix Scalar] 0;
    PresentOverTime "present_over_time" false Vector [Matrix] 0;
    QuantileOverTime "quantile_over_time" false Vector [Scalar Matrix] 0;
    Rad "rad" false Vector [Vector] 0;
    Range "range" true Scalar [] 0;
    Rate "rate" false Vector [Matrix] 0;
    Resets "resets" false Vector [Matrix] 0;
    Round "round" false Vector [Vector Scalar] 1;
    Scalar "scalar" false Scalar [Vector] 0;
    Sgn "sgn" false Vector [Vector] 0;
    Sin "sin" false Vector [Vector] 0;
    Sinh "sinh" false Vector [Vector] 0;
    Sort "sort" false Vector [Vector] 0;
    SortByLabel "sort_by_label" true Vector [Vector String] -1;
    SortByLabelDesc "sort_by_label_desc" true Vector [Vector String] -1;
    SortDesc "sort_desc" false Vector [Vector] 0;
    Sqrt "sqrt" false Vector [Vector] 0;
    Start "start" true Scalar [] 0;
    StartTimestamp "start_timestamp" true Vector [Vector] 0;
    StddevOverTime "stddev_over_time" false Vector [Matrix] 0;
    StdvarOverTime "stdvar_over_time" false Vector [Matrix] 0;
    Step "step" true Scalar [] 0;
    SumOverTime "sum_over_time" false Vector [Matrix] 0;
    Tan "tan" false Vector [Vector] 0;
    Tanh "tanh" false Vector [Vector] 0;
    Time "time" false Scalar [] 0;
    Timestamp "timestamp" false Vector [Vector] 0;
    TsOfFirstOverTime "ts_of_first_over_time" true Vector [Matrix] 0;
    TsOfLastOverTime "ts_of_last_over_time" true Vector [Matrix] 0;
    TsOfMaxOverTime "ts_of_max_over_time" true Vector [Matrix] 0;
    TsOfMinOverTime "ts_of_min_over_time" true Vector [Matrix] 0;
    Vector "vector" false Vector [Scalar] 0;
    Year "year" false Vector [Vector] 1;
}
