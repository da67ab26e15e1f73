//! Bodies of the fuzz targets (being written).
