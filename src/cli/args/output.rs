//! `-o FORMAT[=FILE]`: how reports are written, and where to.

use std::str::FromStr;

use camino::{Utf8Path, Utf8PathBuf};
use clap::{Args, ValueEnum};

/// The reports of one command.
#[derive(Debug, Clone, Args)]
pub struct Outputs {
    /// How to print: text, json, markdown, junit, github. Several with `-o FORMAT=FILE`; github also appends to
    /// $GITHUB_STEP_SUMMARY
    #[arg(short = 'o', long = "output", value_name = "FORMAT[=FILE]", default_value = "text")]
    pub sinks: Vec<Sink>,
}

/// One report: its format, and a file or standard output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sink {
    /// How it is written.
    pub format: Format,
    /// Where to, if not to standard output.
    pub file: Option<Utf8PathBuf>,
}

/// How a report is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// For programs: an object with `format` and `kind`.
    Json,
    /// For a comment on a pull request.
    Markdown,
    /// For test reports: one case per deployment.
    Junit,
    /// For GitHub Actions: annotations, and a summary of the step.
    Github,
}

impl FromStr for Sink {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (format, file) = text.split_once('=').map_or((text, None), |(format, file)| (format, Some(file)));
        let format = Format::from_str(format, false)
            .map_err(|_| "one of text, json, markdown, junit, github, or FORMAT=FILE".to_owned())?;
        match file {
            Some("") => Err("there is no file behind `=`".to_owned()),
            Some("-") | None => Ok(Self { format, file: None }),
            Some(file) => Ok(Self { format, file: Some(file.into()) }),
        }
    }
}

impl Outputs {
    /// Whether a format goes to standard output.
    pub fn prints(&self, format: Format) -> bool {
        self.sinks.iter().any(|sink| sink.format == format && sink.file.is_none())
    }

    /// Whether more than one report would be mixed on standard output. Annotations may stand beside text.
    pub fn mixed(&self) -> bool {
        let printed: Vec<Format> =
            self.sinks.iter().filter(|sink| sink.file.is_none()).map(|sink| sink.format).collect();
        let apart = |format: &&Format| !matches!(format, Format::Text | Format::Github);
        printed.len() > 1 && printed.iter().any(|format| apart(&format))
    }

    /// The files that are written, in the order in which they were named.
    pub fn files(&self) -> impl Iterator<Item = &Utf8Path> {
        self.sinks.iter().filter_map(|sink| sink.file.as_deref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sinks() {
        let parsed = |text: &str| {
            text.parse::<Sink>().map(|sink| (sink.format, sink.file.map(Utf8PathBuf::into_string)))
        };
        assert_eq!(parsed("json"), Ok((Format::Json, None)));
        assert_eq!(parsed("junit=a=b.xml"), Ok((Format::Junit, Some("a=b.xml".into()))));
        assert_eq!(parsed("markdown=-"), Ok((Format::Markdown, None)));
        assert!(parsed("yaml").is_err() && parsed("json=").is_err());
        let mixed = |texts: &[&str]| {
            Outputs { sinks: texts.iter().map(|text| text.parse().unwrap()).collect() }.mixed()
        };
        assert!(mixed(&["text", "json"]) && mixed(&["json", "github"]));
        assert!(!mixed(&["text", "github"]) && !mixed(&["text", "json=x", "junit=y"]) && !mixed(&["json"]));
    }
}
