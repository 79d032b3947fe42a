//! Makes the eight TPC-H tables: `tpch SCALE FOLDER`, as `FOLDER/NAME.parquet`.

#![forbid(unsafe_code)]

use std::error::Error;
use std::fs::File;
use std::path::Path;
use std::process::ExitCode;

use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use tpchgen::generators::{
    CustomerGenerator, LineItemGenerator, NationGenerator, OrderGenerator, PartGenerator,
    PartSuppGenerator, RegionGenerator, SupplierGenerator,
};
use tpchgen_arrow::arrow::record_batch::RecordBatchReader;
use tpchgen_arrow::{
    CustomerArrow, LineItemArrow, NationArrow, OrderArrow, PartArrow, PartSuppArrow, RegionArrow,
    SupplierArrow,
};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [scale, folder] = arguments.as_slice() else {
        eprintln!("usage: tpch SCALE FOLDER");
        return ExitCode::from(2);
    };
    let made = scale
        .parse()
        .map_err(|_| format!("{scale} is no scale factor; give a number like 0.1").into())
        .and_then(|scale| make(scale, Path::new(folder)));
    match made {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tpch: {error}");
            ExitCode::FAILURE
        }
    }
}

fn make(scale: f64, folder: &Path) -> Result<(), Box<dyn Error>> {
    // All in one part.
    let (part, of) = (1, 1);
    let write = |name: &str, table: &mut dyn RecordBatchReader| {
        write(&folder.join(format!("{name}.parquet")), table)
    };
    write(
        "customer",
        &mut CustomerArrow::new(CustomerGenerator::new(scale, part, of)),
    )?;
    write(
        "lineitem",
        &mut LineItemArrow::new(LineItemGenerator::new(scale, part, of)),
    )?;
    write(
        "nation",
        &mut NationArrow::new(NationGenerator::new(scale, part, of)),
    )?;
    write(
        "orders",
        &mut OrderArrow::new(OrderGenerator::new(scale, part, of)),
    )?;
    write(
        "part",
        &mut PartArrow::new(PartGenerator::new(scale, part, of)),
    )?;
    write(
        "partsupp",
        &mut PartSuppArrow::new(PartSuppGenerator::new(scale, part, of)),
    )?;
    write(
        "region",
        &mut RegionArrow::new(RegionGenerator::new(scale, part, of)),
    )?;
    write(
        "supplier",
        &mut SupplierArrow::new(SupplierGenerator::new(scale, part, of)),
    )
}

fn write(path: &Path, table: &mut dyn RecordBatchReader) -> Result<(), Box<dyn Error>> {
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .build();
    // Parquet's own types only: a reader of any kind sees plain strings, dates and decimals.
    let options = ArrowWriterOptions::new()
        .with_properties(properties)
        .with_skip_arrow_metadata(true);
    let file = File::create(path)?;
    let mut writer = ArrowWriter::try_new_with_options(file, table.schema(), options)?;
    for batch in table {
        writer.write(&batch?)?;
    }
    writer.close()?;
    Ok(())
}
