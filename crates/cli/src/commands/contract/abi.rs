//! Functions and events as people write them, and their values as text.

use std::path::Path;

use alloy_dyn_abi::{DynSolType, DynSolValue, EventExt, FunctionExt, JsonAbiExt, Specifier};
use alloy_json_abi::{Event, Function, JsonAbi, Param};
use alloy_primitives::{B256, Bytes, LogData};
use anyhow::Result;
use serde::Deserialize;

use crate::report::Failure;

/// What compilers of Solidity leave: Hardhat, Foundry, and ours.
#[derive(Deserialize)]
pub(super) struct Artifact {
    /// What the contract has.
    pub(super) abi: JsonAbi,
    bytecode: Option<Code>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Code {
    Plain(Bytes),
    Foundry { object: Bytes },
}

impl Artifact {
    /// Reads one.
    pub(super) fn read(path: &Path) -> Result<Self, Failure> {
        let bytes = std::fs::read(path).map_err(Failure::reading(path))?;
        serde_json::from_slice(&bytes).map_err(|error| {
            Failure::unreadable(format!("{} is no compiled contract", path.display()))
                .because(error)
                .hint("it is JSON with `abi` and `bytecode`, as Hardhat and Foundry write it")
        })
    }

    /// What makes the contract, with the constructor's arguments.
    pub(super) fn deploying(&self, args: &[String]) -> Result<Bytes> {
        let code = match &self.bytecode {
            Some(Code::Plain(code) | Code::Foundry { object: code }) if !code.is_empty() => code,
            _ => {
                return Err(
                    Failure::unreadable("the contract has no code: is it an interface?").into(),
                );
            }
        };
        let encoded = match &self.abi.constructor {
            Some(constructor) => {
                let values = values(&constructor.inputs, args)?;
                constructor.abi_encode_input(&values)?
            }
            None => {
                values(&[], args)?;
                Vec::new()
            }
        };
        Ok([&code[..], &encoded].concat().into())
    }
}

/// A function, by its name in a compiled contract, or as it would be written: `balanceOf(address)(uint256)`.
pub(super) fn function(
    text: &str,
    abi: Option<&JsonAbi>,
    args: usize,
) -> Result<Function, Failure> {
    if text.contains('(') {
        let no_function = || {
            Failure::unreadable(format!("{text:?} is no function"))
                .hint("for example: 'balanceOf(address)(uint256)'")
        };
        let function = Function::parse(text).map_err(|error| no_function().because(error))?;
        // Names of types that there are not are read as such.
        let mut params = function.inputs.iter().chain(&function.outputs);
        return match params.find_map(|param| param.resolve().err()) {
            Some(error) => Err(no_function().because(error)),
            None => Ok(function),
        };
    }
    let Some(abi) = abi else {
        let failure = Failure::unreadable(format!("{text:?} is a name without types"));
        return Err(failure.hint("say --abi FILE, or 'name(types)(types of the result)'"));
    };
    let named = abi.function(text).map_or(&[][..], Vec::as_slice);
    let fits = named.iter().find(|function| function.inputs.len() == args);
    fits.or(named.first()).cloned().ok_or_else(|| {
        let known: Vec<_> = abi.functions.keys().map(String::as_str).collect();
        Failure::unreadable(format!("the contract has no function {text}"))
            .hint(format!("it has {}", known.join(", ")))
    })
}

/// An event, in the same two ways.
pub(super) fn event(text: &str, abi: Option<&JsonAbi>) -> Result<Event, Failure> {
    if text.contains('(') {
        return Event::parse(text).map_err(|error| {
            Failure::unreadable(format!("{text:?} is no event"))
                .because(error)
                .hint("for example: 'Transfer(address indexed,address indexed,uint256)'")
        });
    }
    let found = abi.and_then(|abi| abi.event(text)?.first());
    found.cloned().ok_or_else(|| {
        Failure::unreadable(format!("{text:?} is no event of the contract"))
            .hint("say --abi FILE, or 'Name(types)'")
    })
}

/// What calls a function.
pub(super) fn calling(function: &Function, args: &[String]) -> Result<Bytes> {
    let values = values(&function.inputs, args)?;
    Ok(function.abi_encode_input(&values)?.into())
}

/// Arguments from the command line.
fn values(params: &[Param], args: &[String]) -> Result<Vec<DynSolValue>> {
    if params.len() != args.len() {
        let types: Vec<String> = params
            .iter()
            .map(|param| param.selector_type().into_owned())
            .collect();
        let what = format!(
            "{} arguments are given, and {} are taken",
            args.len(),
            params.len()
        );
        let failure = Failure::unreadable(what).hint(format!("they are: ({})", types.join(", ")));
        return Err(failure.into());
    }
    let pairs = params.iter().zip(args);
    let values = pairs.map(|(param, arg)| {
        let wanted: DynSolType = param.resolve()?;
        wanted.coerce_str(arg).map_err(|error| {
            let name = param.selector_type();
            let failure = Failure::unreadable(format!("{arg:?} is no {name}")).because(error);
            anyhow::Error::from(failure)
        })
    });
    values.collect()
}

/// What a function answered, value by value.
pub(super) fn answered(function: &Function, answer: &Bytes) -> Result<Vec<String>> {
    if function.outputs.is_empty() {
        return Ok(vec![answer.to_string()]);
    }
    let values = function.abi_decode_output(answer)?;
    Ok(values.iter().map(shown).collect())
}

/// An event's values by their names, as far as these are known.
pub(super) fn logged(
    event: &Event,
    topics: Vec<B256>,
    data: Bytes,
) -> Option<Vec<(String, String)>> {
    let log = LogData::new(topics, data)?;
    let decoded = event.decode_log(&log).ok()?;
    let (mut indexed, mut body) = (decoded.indexed.iter(), decoded.body.iter());
    let values = event.inputs.iter().map(|input| {
        let value = if input.indexed {
            indexed.next()
        } else {
            body.next()
        };
        Some((input.name.clone(), shown(value?)))
    });
    values.collect()
}

/// A value as one would write it as an argument.
fn shown(value: &DynSolValue) -> String {
    let all = |values: &[DynSolValue]| values.iter().map(shown).collect::<Vec<_>>().join(",");
    match value {
        DynSolValue::Bool(value) => value.to_string(),
        DynSolValue::Int(value, _) => value.to_string(),
        DynSolValue::Uint(value, _) => value.to_string(),
        DynSolValue::FixedBytes(word, length) => {
            format!("0x{}", hex::encode(&word[..*length]))
        }
        DynSolValue::Address(address) => address.to_string(),
        DynSolValue::Function(function) => function.to_string(),
        DynSolValue::Bytes(bytes) => format!("0x{}", hex::encode(bytes)),
        DynSolValue::String(text) => text.clone(),
        DynSolValue::Array(values) | DynSolValue::FixedArray(values) => {
            format!("[{}]", all(values))
        }
        DynSolValue::Tuple(values) => format!("({})", all(values)),
        #[expect(
            unreachable_patterns,
            reason = "there are more types with features that are off"
        )]
        _ => format!("{value:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_encoded_as_ethereum_does() {
        let transfer = function("transfer(address,uint256)(bool)", None, 2).unwrap();
        let to = "0x00000000000000000000000000000000000000Aa".to_owned();
        let called = calling(&transfer, &[to, "5".to_owned()]).unwrap();
        assert_eq!(called[..4], [0xa9, 0x05, 0x9c, 0xbb]);
        assert_eq!((called.len(), called[35], called[67]), (68, 0xaa, 5));
        let answer = Bytes::from(DynSolValue::Bool(true).abi_encode());
        assert_eq!(answered(&transfer, &answer).unwrap(), ["true"]);
    }

    #[test]
    fn arguments_that_do_not_fit_are_named() {
        let transfer = function("transfer(address,uint256)", None, 2).unwrap();
        let few = calling(&transfer, &[]).unwrap_err().to_string();
        assert!(few.contains("0 arguments are given, and 2"), "{few}");
        let wrong = calling(&transfer, &["x".to_owned(), "5".to_owned()]).unwrap_err();
        assert!(wrong.to_string().contains("is no address"), "{wrong}");
    }

    #[test]
    fn what_is_no_function_is_refused() {
        for text in ["transfer(", "transfer(adress)", "(", "a b"] {
            assert!(function(text, None, 0).is_err(), "{text}");
        }
    }

    #[test]
    fn values_are_shown_as_they_are_given() {
        let tuple = DynSolType::parse("(uint8,string[],bytes2)").unwrap();
        let value = tuple.coerce_str("(7,[a,b],0x0102)").unwrap();
        assert_eq!(shown(&value), "(7,[a,b],0x0102)");
    }
}
