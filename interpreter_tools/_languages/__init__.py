"""Languages: what each needs to run, one file a language."""

from interpreter_tools._languages.compilation import Compilation
from interpreter_tools._languages.config import CellRunner, CompileStep, InterpreterBoot, LanguageConfig, Opening
from interpreter_tools._languages.installers import DependencyPlan
from interpreter_tools._languages.plan import BASE_ENVIRONMENT, Job, Need, boot_environment, job_code, job_files, plan
from interpreter_tools._languages.registry import LanguageRegistry

__all__ = [
    "BASE_ENVIRONMENT",
    "CellRunner",
    "Compilation",
    "CompileStep",
    "DependencyPlan",
    "InterpreterBoot",
    "Job",
    "LanguageConfig",
    "LanguageRegistry",
    "Need",
    "Opening",
    "boot_environment",
    "job_code",
    "job_files",
    "plan",
]
