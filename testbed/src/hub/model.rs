//! The ONNX file that is served. One thread runs it, one row at a time, whatever batch its file declares. A hub lives on
//! that very thread: to wake another one for each request takes longer than to answer it.
//!
//! The list of operators is shorter than the runtime's: what is not linked needs no memory.

use std::error::Error;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rten::{DataType, Dimension, ModelOptions, NodeId, OpRegistry, RunOptions, ThreadPool, ValueType, ValueView};

/// Steps of a sequence when the model does not take one: the shape that clients send anyway.
const STEPS_DEFAULT: usize = 60;

#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    #[error("cannot read the model {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    /// The runtime cannot load or run it.
    #[error("the runtime cannot use the model {}", path.display())]
    Runtime { path: PathBuf, source: Box<dyn Error + Send + Sync> },
    /// It takes or gives something else than rows of numbers.
    #[error("the model {} {fault}", path.display())]
    Shape { path: PathBuf, fault: String },
}

impl ModelError {
    #[must_use]
    pub fn advice(&self) -> String {
        match self {
            Self::Read { .. } => "give with --model an ONNX file that this user may read".to_owned(),
            Self::Runtime { .. } => "export it with core operators only: a linear model or an MLP".to_owned(),
            Self::Shape { .. } => {
                "give one that takes float32 [1, features], and perhaps float32 [1, steps, features], \
                                   and gives float32 [1, numbers]"
                    .to_owned()
            }
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ModelInputs {
    /// Name of the input of one row.
    pub(super) name: String,
    /// Numbers in a row.
    pub(super) width: usize,
    /// Steps and columns of a sequence; a request that brings one must bring this one.
    pub(super) sequence: [usize; 2],
    /// Whether the model wants that sequence.
    pub(super) wants_sequence: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Row {
    /// As many numbers as the model takes.
    pub(super) tabular: Vec<f32>,
    /// Step after step, when the request brought a sequence.
    pub(super) sequence: Option<Vec<f32>>,
}

#[derive(Debug)]
pub struct Model {
    graph: rten::Model,
    row: NodeId,
    sequence: Option<NodeId>,
    output: NodeId,
    inputs: ModelInputs,
    thread: Arc<ThreadPool>,
}

fn registry() -> OpRegistry {
    rten::op_registry!(
        Abs,
        Add,
        And,
        ArgMax,
        BatchNormalization,
        Cast,
        Ceil,
        Clip,
        Concat,
        ConstantOfShape,
        Conv,
        Div,
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
        GRU,
        HardSigmoid,
        Identity,
        IsNaN,
        LayerNormalization,
        LeakyRelu,
        Less,
        Log,
        LogSoftmax,
        LSTM,
        MatMul,
        Max,
        Mean,
        Min,
        Mul,
        Neg,
        Not,
        Or,
        Pow,
        Reciprocal,
        ReduceMax,
        ReduceMean,
        ReduceMin,
        ReduceSum,
        Relu,
        Reshape,
        Shape,
        Sigmoid,
        Slice,
        Softmax,
        Softplus,
        Split,
        Sqrt,
        Squeeze,
        Sub,
        Sum,
        Tanh,
        Transpose,
        Unsqueeze,
        Where
    )
}

impl Model {
    /// Loads a file and asks it once, so that what cannot run is refused before anything is served.
    ///
    /// # Errors
    /// When the file cannot be read, or is no model that can be served.
    pub fn load(path: &Path) -> Result<Self, ModelError> {
        Self::load_on(path, thread())
    }

    /// Loads another file for the same thread.
    pub(super) fn load_beside(&self, path: &Path) -> Result<Self, ModelError> {
        Self::load_on(path, Arc::clone(&self.thread))
    }

    /// Loads a file for a thread.
    pub(super) fn load_on(path: &Path, thread: Arc<ThreadPool>) -> Result<Self, ModelError> {
        let bytes = fs::read(path).map_err(|source| ModelError::Read { path: path.to_owned(), source })?;
        let graph = ModelOptions::with_ops(registry())
            .load(bytes)
            .map_err(|source| ModelError::Runtime { path: path.to_owned(), source: Box::new(source) })?;
        let shape = |fault: String| ModelError::Shape { path: path.to_owned(), fault };
        let [output] = graph.output_ids() else {
            return Err(shape(format!("has {} outputs, not one", graph.output_ids().len())));
        };
        let output = *output;
        let (row, sequence, inputs) = inputs(&graph).map_err(shape)?;
        let model = Self { graph, row, sequence, output, inputs, thread };
        let [steps, columns] = model.inputs.sequence;
        let zeros =
            Row { tabular: vec![0.0; model.inputs.width], sequence: sequence.map(|_| vec![0.0; steps * columns]) };
        model.ask(&zeros).map_err(|source| ModelError::Runtime { path: path.to_owned(), source })?;
        Ok(model)
    }

    pub(super) fn inputs(&self) -> &ModelInputs {
        &self.inputs
    }

    /// The numbers for each row. They are computed one by one on the model's thread, which is woken once for all of them, or
    /// not at all where it is the caller's.
    pub(super) fn ask_all(&self, rows: &[Row]) -> Result<Vec<Vec<f64>>, Box<dyn Error + Send + Sync>> {
        self.thread.run(|| rows.iter().map(|row| self.ask(row)).collect())
    }

    /// The numbers for one row.
    fn ask(&self, row: &Row) -> Result<Vec<f64>, Box<dyn Error + Send + Sync>> {
        let mut inputs =
            vec![(self.row, ValueView::from_shape([1, row.tabular.len()], row.tabular.as_slice())?.into())];
        if let (Some(node), Some(sequence)) = (self.sequence, &row.sequence) {
            let [steps, columns] = self.inputs.sequence;
            inputs.push((node, ValueView::from_shape([1, steps, columns], sequence.as_slice())?.into()));
        }
        let options = RunOptions::default().with_thread_pool(Some(Arc::clone(&self.thread)));
        let [output] = self.graph.run_n(inputs, [self.output], Some(options))?;
        let ([rows, _], values) = output.into_shape_vec::<f32, 2>()?;
        if rows != 1 {
            return Err(format!("the model answers one row with {rows}").into());
        }
        Ok(values.into_iter().map(f64::from).collect())
    }
}

/// A thread that runs models.
pub(super) fn thread() -> Arc<ThreadPool> {
    Arc::new(ThreadPool::with_num_threads(1))
}

/// The inputs of one row and of one sequence.
fn inputs(graph: &rten::Model) -> Result<(NodeId, Option<NodeId>, ModelInputs), String> {
    let mut row = None;
    let mut sequence = None;
    for id in graph.input_ids() {
        let info = graph.node_info(*id).ok_or("has an input without a description")?;
        let name = info.name().unwrap_or_default().to_owned();
        if info.dtype().is_some_and(|kind| kind != ValueType::Tensor(DataType::Float)) {
            return Err(format!("takes '{name}' that is not float32"));
        }
        match info.shape().as_deref() {
            Some([batch, Dimension::Fixed(width)]) if is_one(batch) && row.is_none() && *width > 0 => {
                row = Some((*id, name, *width));
            }
            Some([batch, Dimension::Fixed(steps), Dimension::Fixed(columns)])
                if is_one(batch) && sequence.is_none() =>
            {
                sequence = Some((*id, [*steps, *columns]));
            }
            shape => return Err(format!("takes '{name}' of the shape {shape:?}")),
        }
    }
    let (id, name, width) = row.ok_or("takes no rows")?;
    let inputs = ModelInputs {
        name,
        width,
        sequence: sequence.map_or([STEPS_DEFAULT, width], |(_, shape)| shape),
        wants_sequence: sequence.is_some(),
    };
    Ok((id, sequence.map(|(id, _)| id), inputs))
}

fn is_one(batch: &Dimension) -> bool {
    matches!(batch, Dimension::Fixed(1) | Dimension::Symbolic(_))
}
