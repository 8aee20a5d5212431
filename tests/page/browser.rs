//! The page in Chromium: what people see and can do, in `page/browse.mjs`.
