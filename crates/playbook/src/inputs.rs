//! What a playbook is given, and the fields of answers: names with types.

/// The type of a value that people or callers give.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValueType {
    /// Text.
    String,
    /// A number.
    Number,
    /// `true` or `false`.
    Boolean,
    /// A list.
    List,
    /// An object.
    Object,
}

impl ValueType {
    /// All of them with their names in YAML.
    pub const ALL: [(&str, ValueType); 5] = [
        ("string", ValueType::String),
        ("number", ValueType::Number),
        ("boolean", ValueType::Boolean),
        ("list", ValueType::List),
        ("object", ValueType::Object),
    ];

    /// The name in YAML.
    pub fn name(self) -> &'static str {
        ValueType::ALL.iter().find(|(_, ty)| *ty == self).map_or("", |(name, _)| name)
    }

    /// Whether a value is of this type.
    pub fn takes(self, value: &serde_json::Value) -> bool {
        match self {
            ValueType::String => value.is_string(),
            ValueType::Number => value.is_number(),
            ValueType::Boolean => value.is_boolean(),
            ValueType::List => value.is_array(),
            ValueType::Object => value.is_object(),
        }
    }
}

/// A value that is given: an input of a playbook, a field of an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Input {
    /// Its name.
    pub name: String,
    /// Its type.
    pub ty: ValueType,
    /// Whether it must be given.
    pub required: bool,
    /// What it is when it is not given.
    pub default: Option<serde_json::Value>,
    /// What it means, for people.
    pub description: String,
}

/// Why given values do not fit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InputError {
    /// There is none of this name.
    #[error("there is no `{name}`{}", if known.is_empty() { String::new() } else { format!("; there are {known}") })]
    Unknown {
        /// The name.
        name: String,
        /// The names that there are.
        known: String,
    },
    /// It must be given.
    #[error("`{name}` is missing")]
    Missing {
        /// The name.
        name: String,
    },
    /// It is of another type.
    #[error("`{name}` must be of type {wanted}")]
    Type {
        /// The name.
        name: String,
        /// The type.
        wanted: &'static str,
    },
}

impl Input {
    /// Checks given values against what is declared, and fills in defaults. `null` is as good as not given.
    ///
    /// # Errors
    /// [`InputError`] for the first value that does not fit.
    pub fn fit(declared: &[Input], mut given: model::Record) -> Result<model::Record, InputError> {
        given.retain(|_, value| !value.is_null());
        if let Some(name) = given.keys().find(|name| declared.iter().all(|input| input.name != **name)) {
            let known: Vec<&str> = declared.iter().map(|input| input.name.as_str()).collect();
            return Err(InputError::Unknown { name: name.clone(), known: known.join(", ") });
        }
        for input in declared {
            match (given.get(&input.name), &input.default) {
                (Some(value), _) if !input.ty.takes(value) => {
                    return Err(InputError::Type { name: input.name.clone(), wanted: input.ty.name() });
                }
                (Some(_), _) => {}
                (None, Some(default)) => drop(given.insert(input.name.clone(), default.clone())),
                (None, None) if input.required => return Err(InputError::Missing { name: input.name.clone() }),
                // Known and absent, so that `inputs.name ?? …` works.
                (None, None) => drop(given.insert(input.name.clone(), serde_json::Value::Null)),
            }
        }
        Ok(given)
    }
}
