"""The public names of each module, and an error for names that only Keras has."""

from __future__ import annotations

import difflib
import importlib
import re
import sys
from collections.abc import Callable, Iterable
from types import MethodType, ModuleType
from typing import Any

# By module; names as Keras 3 has them.
_TABLE = """
keras: DTypePolicy FloatDTypePolicy Function InputSpec Operation Quantizer RematScope
  StatelessScope SymbolicScope applications device distillation distribution dtype_policies export
  legacy mixed_precision name_scope preprocessing quantizers remat tree visualization wrappers
keras.layers: ActivityRegularization AdaptiveAveragePooling1D AdaptiveAveragePooling2D
  AdaptiveAveragePooling3D AdaptiveMaxPooling1D AdaptiveMaxPooling2D AdaptiveMaxPooling3D Add
  AdditiveAttention AlphaDropout Attention AugMix AutoContrast Average AveragePooling1D
  AveragePooling2D AveragePooling3D AvgPool1D AvgPool2D AvgPool3D Bidirectional CategoryEncoding
  CenterCrop Concatenate ContrastLimitedAdaptiveHistogramEqualization Conv1D Conv1DTranspose
  Conv2D Conv2DTranspose Conv3D Conv3DTranspose ConvLSTM1D ConvLSTM2D ConvLSTM3D Convolution1D
  Convolution1DTranspose Convolution2D Convolution2DTranspose Convolution3D Convolution3DTranspose
  Cropping1D Cropping2D Cropping3D CutMix DepthwiseConv1D DepthwiseConv2D Discretization Dot ELU
  EinsumDense Embedding Equalization FlaxLayer GRU GRUCell GaussianDropout GaussianNoise
  GlobalAveragePooling1D GlobalAveragePooling2D GlobalAveragePooling3D GlobalAvgPool1D
  GlobalAvgPool2D GlobalAvgPool3D GlobalMaxPool1D GlobalMaxPool2D GlobalMaxPool3D
  GlobalMaxPooling1D GlobalMaxPooling2D GlobalMaxPooling3D GroupNormalization GroupQueryAttention
  HashedCrossing Hashing Identity InputSpec IntegerLookup JaxLayer LSTM LSTMCell Lambda
  LayerNormalization Masking MaxNumBoundingBoxes MaxPool1D MaxPool2D MaxPool3D MaxPooling1D
  MaxPooling2D MaxPooling3D Maximum MelSpectrogram Minimum MixUp MultiHeadAttention Multiply
  Normalization PReLU Permute Pipeline RMSNormalization RNN RandAugment RandomBrightness
  RandomColorDegeneration RandomColorJitter RandomContrast RandomCrop RandomElasticTransform
  RandomErasing RandomFlip RandomGaussianBlur RandomGrayscale RandomHue RandomInvert
  RandomPerspective RandomPosterization RandomRotation RandomSaturation RandomSharpness
  RandomShear RandomTranslation RandomZoom RepeatVector Resizing ReversibleEmbedding
  STFTSpectrogram SeparableConv1D SeparableConv2D SeparableConvolution1D SeparableConvolution2D
  SimpleRNN SimpleRNNCell Solarization SpatialDropout1D SpatialDropout2D SpatialDropout3D
  SpectralNormalization StackedRNNCells StringLookup Subtract TFSMLayer TextVectorization
  TimeDistributed TorchModuleWrapper UnitNormalization UpSampling1D UpSampling2D UpSampling3D
  Wrapper ZeroPadding1D ZeroPadding2D ZeroPadding3D add average concatenate dot maximum minimum
  multiply subtract
keras.losses: CTC CategoricalGeneralizedCrossEntropy Circle Dice Tversky
  categorical_generalized_cross_entropy circle ctc dice tversky
keras.metrics: AUC BinaryIoU ConcordanceCorrelation F1Score FBetaScore FalseNegatives FalsePositives
  IoU MeanIoU OneHotIoU OneHotMeanIoU PearsonCorrelation PrecisionAtRecall R2Score RecallAtPrecision
  SensitivityAtSpecificity SpecificityAtSensitivity TrueNegatives TruePositives
  concordance_correlation pearson_correlation
keras.optimizers: Adafactor Lamb LossScaleOptimizer MultiOptimizer Muon OptimizerMap
  ScheduleFreeAdamW legacy
keras.callbacks: OrbaxCheckpoint RemoteMonitor
keras.activations: celu glu hard_shrink hard_tanh log_sigmoid soft_shrink sparse_plus
  sparse_sigmoid sparsemax squareplus tanh_shrink threshold
keras.initializers: Identity IdentityInitializer Orthogonal OrthogonalInitializer STFT
  STFTInitializer identity orthogonal stft
keras.regularizers: OrthogonalRegularizer orthogonal_regularizer
keras.utils: Config FeatureSpace Progbar array_to_img
  audio_dataset_from_directory bounding_boxes disable_interactive_logging
  enable_interactive_logging get_file get_registered_name get_registered_object
  get_source_inputs image_dataset_from_directory img_to_array is_interactive_logging_enabled
  is_keras_tensor legacy load_img model_to_dot pack_x_y_sample_weight pad_sequences save_img
  split_dataset standardize_dtype text_dataset_from_directory
  timeseries_dataset_from_array unpack_x_y_sample_weight
keras.datasets: boston_housing california_housing cifar10 cifar100 imdb reuters
keras.optimizers.schedules: CosineDecayRestarts
keras.constraints:
keras.models:
keras.saving: KerasFileEditor
  get_registered_name get_registered_object
keras.backend: get_uid image_data_format is_float_dtype is_int_dtype is_keras_tensor result_type
  set_image_data_format standardize_dtype
keras.random:
keras.config: disable_flash_attention disable_interactive_logging disable_traceback_filtering
  dtype_policy enable_flash_attention enable_interactive_logging enable_traceback_filtering
  enable_unsafe_deserialization image_data_format is_flash_attention_enabled
  is_interactive_logging_enabled is_nnx_enabled is_traceback_filtering_enabled max_epochs
  max_steps_per_epoch set_dtype_policy set_image_data_format set_max_epochs
  set_max_steps_per_epoch
"""
#: By module path below `keras`, the names that Keras has and tinynet has not.
KERAS_ONLY = {
    path.strip("."): names
    for path, names in re.findall(r"^keras(.*):(.*(?:\n .*)*)", _TABLE, re.MULTILINE)
}
# Of these names, the modules, which programs import from.
MODULES = (
    "applications distribution dtype_policies export legacy mixed_precision preprocessing "
    "quantizers tree wrappers datasets.boston_housing datasets.california_housing "
    "datasets.cifar10 datasets.cifar100 datasets.imdb datasets.reuters"
)


class NotHereError(NotImplementedError, AttributeError):
    """A name that Keras or TensorFlow may have; to tools that look around, one that is absent."""


def guard(path: str, supported: Iterable[str], lazy: Iterable[str] = ()) -> Callable[[str], Any]:
    """Make the function that Python calls for a name that a module does not have.

    Parameters
    ----------
    path : str
        The module's path below `tinynet`, for example ``"layers"``.
    supported : iterable of str
        The names it has.
    lazy : iterable of str
        Submodules to import when they are first used.

    Returns
    -------
    callable
        A module's ``__getattr__``: it raises NotImplementedError for what only Keras has, and
        AttributeError for what nobody has.

    Examples
    --------
    >>> guard("layers", ["Dense", "Flatten"])("Conv2D")
    Traceback (most recent call last):
        ...
    NotImplementedError: tinynet has no layers.Conv2D: it is a library of dense nets. There are: \
Dense, Flatten. Received: layers.Conv2D
    """
    missing = frozenset(KERAS_ONLY.get(path, "").split())
    listed = sorted(supported)

    def missing_name(name: str) -> Any:
        full = f"{path}.{name}" if path else name
        if name in missing:
            raise _refusal(full, listed)
        if name in lazy:
            try:
                return importlib.import_module(f"tinynet.{full}")
            except ImportError as error:  # of an optional package: to hasattr, the name is absent
                raise AttributeError(str(error)) from error
        close = difflib.get_close_matches(name, listed, n=1)
        hint = f"; did you mean {close[0]!r}?" if close and not name.startswith("_") else ""
        module = f"tinynet.{path}".rstrip(".")
        raise AttributeError(f"module {module!r} has no attribute {name!r}{hint}")

    return missing_name


def _refusal(full: str, listed: list[str]) -> NotImplementedError:
    return NotImplementedError(
        f"tinynet has no {full}: it is a library of dense nets. "
        f"There are: {', '.join(listed)}. Received: {full}"
    )


class _Absent(ModuleType):
    """Stands where Keras has a module and tinynet has none: importing from it is refused."""

    listed: list[str]

    def __getattr__(self, name: str) -> Any:
        # A submodule is looked for along __path__; other such names are asked for by tools.
        if name.startswith("__") and name != "__path__":
            raise AttributeError(name)
        raise _refusal(self.__name__.partition(".")[2], self.listed)


def install(package: ModuleType, lazy: Iterable[str] = ()) -> None:
    """Limit `dir` of each module to its public names, and refuse names that only Keras has.

    Parameters
    ----------
    package : module
        The package, with the modules that `KERAS_ONLY` names imported.
    lazy : iterable of str
        Public submodules to import when they are first used.

    Examples
    --------
    >>> import tinynet
    >>> tinynet.callbacks.RemoteMonitor  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    NotImplementedError: tinynet has no callbacks.RemoteMonitor: it is a library of dense nets. \
There are: ... Received: callbacks.RemoteMonitor
    """
    public: dict[str, list[str]] = {}
    for path in KERAS_ONLY:
        module = sys.modules[f"{package.__name__}.{path}".rstrip(".")]
        public[path] = public_names(module)
        vars(module)["__getattr__"] = guard(path, public[path], () if path else lazy)
    for path in [*KERAS_ONLY, *public[""]]:
        if listed := sys.modules.get(f"{package.__name__}.{path}".rstrip(".")):
            vars(listed)["__dir__"] = _listing(listed, () if path else lazy)
    for path in MODULES.split():
        absent = _Absent(f"{package.__name__}.{path}")
        absent.listed = public[path.rpartition(".")[0]]
        sys.modules[absent.__name__] = absent


def _listing(module: ModuleType, lazy: Iterable[str]) -> Callable[[], list[str]]:
    """Return the function that `dir` calls for a module."""
    shown = {*public_names(module), *lazy, *(name for name in vars(module) if name[:2] == "__")}
    return lambda: sorted(shown)


def public_names(module: ModuleType) -> list[str]:
    """List what a module offers: its ``__all__``, or what is defined in it.

    Parameters
    ----------
    module : module
        The module.

    Returns
    -------
    list of str
        The names.

    Examples
    --------
    >>> import tinynet
    >>> "Dense" in public_names(tinynet.layers)
    True
    """
    own = {
        name
        for name, value in vars(module).items()
        # Functions such as `get` may be methods of the module's registry.
        if getattr(value, "__module__", "") == module.__name__ or isinstance(value, MethodType)
    }
    return sorted(getattr(module, "__all__", {n for n in own if not n.startswith("_")}))
