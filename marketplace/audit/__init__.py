"""The audit: rule families over a bundle. Nothing of the plugin is executed; JavaScript is read, wasm is inspected."""
