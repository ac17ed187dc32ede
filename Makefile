# reimage: `make help` lists what there is.
BUN := node_modules/@oven/bun-linux-x64-baseline/bin/bun

help: ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | sort

node_modules: package.json package-lock.json
	npm ci --no-audit --no-fund
	@touch node_modules

check: node_modules ## types, lint, format and unit tests
	node_modules/.bin/tsc
	node_modules/.bin/biome check .
	$(BUN) test test/unit

.PHONY: help check
