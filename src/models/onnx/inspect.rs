//! Looks at an ONNX file before the runtime does: which operators it uses, what it takes and what it gives.
//!
//! The runtime reports an operator that it lacks only as text. Here the list of operators is ours: it makes both the
//! runtime's registry and the check, so the two cannot differ and an error names the operator.

use std::ops::Range;

use rten::OpRegistry;
use rten_onnx::onnx::{DataType, GraphProto, ModelProto, ValueInfoProto};

use super::error::Fault;

macro_rules! operators {
    ($($op:ident),* $(,)?) => {
        const OPERATORS: &[&str] = &[$(stringify!($op)),*];

        /// A registry with exactly the operators that [`Shape::of`] lets pass.
        pub(super) fn registry() -> OpRegistry {
            rten::op_registry!($($op),*)
        }
    };
}

// Deterministic operators on dense tensors: what exports of linear models, MLPs and small recurrent or convolutional
// networks use. Control flow, sequences, random numbers and image operators have no place here.
operators!(
    Abs,
    Add,
    And,
    ArgMax,
    ArgMin,
    AveragePool,
    BatchNormalization,
    Cast,
    CastLike,
    Ceil,
    Clip,
    Concat,
    Conv,
    ConstantOfShape,
    Cos,
    CumSum,
    Div,
    Einsum,
    Elu,
    Equal,
    Erf,
    Exp,
    Expand,
    Flatten,
    Floor,
    Gather,
    Gelu,
    Gemm,
    GlobalAveragePool,
    Greater,
    GreaterOrEqual,
    GRU,
    HardSigmoid,
    HardSwish,
    Identity,
    IsInf,
    IsNaN,
    LayerNormalization,
    LeakyRelu,
    Less,
    LessOrEqual,
    Log,
    LogSoftmax,
    LSTM,
    MatMul,
    Max,
    MaxPool,
    Mean,
    Min,
    Mod,
    Mul,
    Neg,
    Not,
    OneHot,
    Or,
    Pad,
    Pow,
    PRelu,
    Range,
    Reciprocal,
    ReduceL2,
    ReduceLogSumExp,
    ReduceMax,
    ReduceMean,
    ReduceMin,
    ReduceProd,
    ReduceSum,
    ReduceSumSquare,
    Relu,
    Reshape,
    Round,
    Shape,
    Sigmoid,
    Sign,
    Sin,
    Size,
    Slice,
    Softmax,
    Softplus,
    Softsign,
    Split,
    Sqrt,
    Squeeze,
    Sub,
    Sum,
    Tan,
    Tanh,
    Tile,
    Transpose,
    Unsqueeze,
    Where,
    Xor,
);

/// A part of the file format, not of the registry: the loader makes it a weight.
const CONSTANT: &str = "Constant";

/// The only operator domain, by its two names.
const CORE_DOMAINS: [&str; 2] = ["", "ai.onnx"];

/// What a model takes and gives, as its file declares it.
pub(super) struct Shape {
    /// Columns of the input when declared as a number.
    pub(super) width: Option<i64>,
    /// Name of the input.
    pub(super) input: String,
    /// Name of the output.
    pub(super) output: String,
}

impl Shape {
    /// Reads it from the bytes of a model file, and refuses what the node cannot run.
    pub(super) fn of(bytes: &[u8]) -> Result<Self, Fault> {
        let model = ModelProto::parse_buf(bytes).map_err(|source| Fault::NotOnnx(Box::new(source)))?;
        let graph = model.graph.as_ref().filter(|graph| !graph.node.is_empty()).ok_or(Fault::Empty)?;
        refuse_foreign_operators(graph)?;
        // Old files list weights as inputs too.
        let weight = |value: &&ValueInfoProto| graph.initializer.iter().any(|tensor| tensor.name == value.name);
        let inputs: Vec<_> = graph.input.iter().filter(|value| !weight(value)).collect();
        let [input] = inputs.as_slice() else { return Err(Fault::Inputs { have: inputs.len() }) };
        let [output] = graph.output.as_slice() else { return Err(Fault::Outputs { have: graph.output.len() }) };
        Ok(Self { width: width_of(input)?, input: name_of(input), output: name_of(output) })
    }
}

/// Lets the input called `input` have any number of rows, where the file declares one: most exports do, and the runtime insists on it.
/// Whether the model then answers each row by itself is for the caller to find out. Without such a declaration nothing changes.
pub(super) fn allow_many_rows(bytes: &mut [u8], input: &str) {
    if let Some(dimension) = declared_rows(bytes, input)
        && let Some(content) = bytes.get_mut(dimension)
        && content == [VALUE, 1]
    {
        content.copy_from_slice(&[NAME, 0]);
    }
}

/// Keys of a dimension's fields in the file: its number as a varint, and its name, of which the length follows.
const VALUE: u8 = 1 << 3;
const NAME: u8 = 2 << 3 | 2;

/// Where the first dimension of an input lies in the bytes of a model.
fn declared_rows(bytes: &[u8], input: &str) -> Option<Range<usize>> {
    // Fields of the format: graph, its inputs, the name of one and its type, a tensor, its shape, its dimensions.
    let graph = fields(bytes, 0..bytes.len(), 7).next()?;
    let is_it = |value: &Range<usize>| {
        fields(bytes, value.clone(), 1).any(|name| bytes.get(name).is_some_and(|name| name == input.as_bytes()))
    };
    let value = fields(bytes, graph, 11).find(is_it)?;
    [2, 1, 2, 1].into_iter().try_fold(value, |within, number| fields(bytes, within, number).next())
}

/// Where the contents of the fields `number` lie that have a length, in the message `within`.
fn fields(bytes: &[u8], within: Range<usize>, number: u64) -> impl Iterator<Item = Range<usize>> {
    let mut at = within.start;
    let next = move || {
        if at >= within.end {
            return None;
        }
        let key = varint(bytes, &mut at)?;
        let length = match key & 7 {
            0 => varint(bytes, &mut at).map(|_| 0)?,
            1 => 8,
            2 => usize::try_from(varint(bytes, &mut at)?).ok()?,
            5 => 4,
            _ => return None,
        };
        let content = at..at.checked_add(length).filter(|end| *end <= within.end)?;
        at = content.end;
        Some((key, content))
    };
    std::iter::from_fn(next).filter(move |(key, _)| *key == number << 3 | 2).map(|(_, content)| content)
}

fn varint(bytes: &[u8], at: &mut usize) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let byte = *bytes.get(*at)?;
        *at += 1;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

fn refuse_foreign_operators(graph: &GraphProto) -> Result<(), Fault> {
    for node in &graph.node {
        let operator = node.op_type.as_deref().unwrap_or_default();
        let domain = node.domain.as_deref().unwrap_or_default();
        if !CORE_DOMAINS.contains(&domain) {
            return Err(Fault::Operator { operator: format!("{domain}.{operator}") });
        }
        if operator != CONSTANT && !OPERATORS.contains(&operator) {
            return Err(Fault::Operator { operator: operator.to_owned() });
        }
    }
    Ok(())
}

/// The declared number of columns; an error when the input is no row of float32.
fn width_of(input: &ValueInfoProto) -> Result<Option<i64>, Fault> {
    let tensor = input.r#type.as_ref().and_then(|kind| kind.tensor_type.as_ref());
    let element = tensor.and_then(|tensor| tensor.elem_type);
    if element != Some(DataType::FLOAT) {
        let have = element.as_ref().and_then(DataType::name).unwrap_or("undeclared");
        return Err(Fault::InputType { have: have.to_owned() });
    }
    let Some(shape) = tensor.and_then(|tensor| tensor.shape.as_ref()) else { return Ok(None) };
    match shape.dim.as_slice() {
        [batch, columns] if batch.dim_value.is_none_or(|rows| rows == 1) => Ok(columns.dim_value),
        dims => {
            let dims = dims.iter().map(|dim| dim.dim_value.map_or_else(|| "?".to_owned(), |n| n.to_string()));
            Err(Fault::InputShape { have: dims.collect::<Vec<_>>().join(", ") })
        }
    }
}

fn name_of(value: &ValueInfoProto) -> String {
    value.name.clone().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(bytes: &[u8]) -> (Option<i64>, Option<i64>) {
        let model = ModelProto::parse_buf(bytes).unwrap();
        let graph = model.graph.unwrap();
        let dims = |value: &ValueInfoProto| {
            let tensor = value.r#type.as_ref().unwrap().tensor_type.as_ref().unwrap();
            tensor.shape.as_ref().unwrap().dim.iter().map(|dim| dim.dim_value).collect::<Vec<_>>()
        };
        (dims(&graph.input[0])[0], dims(&graph.input[0])[1])
    }

    #[test]
    fn the_one_row_of_an_input_becomes_any_number_and_nothing_else_changes() {
        let declared = include_bytes!("../../../config/demo/model.onnx").to_vec();
        let mut changed = declared.clone();
        allow_many_rows(&mut changed, "no such input");
        assert_eq!(changed, declared);
        allow_many_rows(&mut changed, "row");
        assert_eq!((rows(&declared), rows(&changed)), ((Some(1), Some(23)), (None, Some(23))));
        let different = declared.iter().zip(&changed).filter(|(a, b)| a != b).count();
        assert_eq!((declared.len(), different), (changed.len(), 2));
    }

    #[test]
    fn bytes_that_are_no_model_are_left_alone() {
        let declared = include_bytes!("../../../config/demo/model.onnx");
        for end in (0..declared.len()).step_by(7) {
            let mut cut = declared[..end].to_vec();
            allow_many_rows(&mut cut, "row");
            let different = declared.iter().zip(&cut).filter(|(a, b)| a != b).count();
            assert!(different == 0 || different == 2, "{end}");
        }
    }
}
