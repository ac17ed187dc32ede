# reimage: `make help` lists what there is.
BUN := node_modules/@oven/bun-linux-x64-baseline/bin/bun

help: ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | sort

node_modules: package.json package-lock.json
	npm ci --no-audit --no-fund
	@touch node_modules

check: node_modules build/dashboard/dashboard.js build/loaders/mbr.bin ## types, lint, format and unit tests
	node_modules/.bin/tsc
	node_modules/.bin/tsc -p src/control/dashboard
	node_modules/.bin/biome check .
	$(BUN) test --timeout 60000 test/unit

packages: node_modules ## install the Debian packages that building and testing need (asks sudo unless root)
	$(BUN) scripts/packages.ts

build: build/reimage ## the executable: build/reimage

# What browsers get; it goes into the executable as files.
build/dashboard/dashboard.js: node_modules $(shell find src/control/dashboard src/control/view src/control/protocol -type f) src/report/format.ts
	@mkdir -p build/dashboard
	$(BUN) build --target=browser --minify --production --entry-naming=dashboard.[ext] --outdir=build/dashboard src/control/dashboard/main.tsx
	$(BUN) build --target=browser --minify --outdir=build/dashboard src/control/dashboard/api-page.ts

# The boot loaders of the lifeboat; they go into the executable as files.
build/loaders/mbr.bin: node_modules scripts/fetch-loaders.ts
	$(BUN) scripts/fetch-loaders.ts
	@touch $@

# Everything is taken from the npm package; nothing is downloaded, and .env or bunfig.toml where it runs mean nothing.
# With bytecode it starts in a quarter of the time, for 3.5 MB of initramfs.
build/reimage: Makefile node_modules build/dashboard/dashboard.js build/loaders/mbr.bin $(shell find src -name '*.ts') initramfs/tools.ts package.json
	@mkdir -p build
	$(BUN) build --compile --bytecode --format=esm --target=bun-linux-x64-baseline --compile-executable-path=$(BUN) --minify-syntax --minify-whitespace \
		--no-compile-autoload-dotenv --no-compile-autoload-bunfig --outfile=$@ src/main.ts

initramfs: build/initramfs.img ## build/vmlinuz and build/initramfs.img (KERNEL= and MODULES= for another kernel, RELEASE=1 for the smallest)

# Make cannot see that another kernel or level is wanted: then it is built anew every time.
build/initramfs.img: $(if $(KERNEL)$(MODULES)$(RELEASE),FORCE) build/reimage $(wildcard initramfs/*) scripts/build-initramfs.ts scripts/fetch-kernel.ts
	RELEASE='$(RELEASE)' KERNEL='$(KERNEL)' MODULES='$(MODULES)' $(BUN) scripts/build-initramfs.ts

demo: packages initramfs ## a virtual kiosk is reimaged before your eyes; a few minutes
	$(BUN) scripts/demo.ts

demo-power: packages initramfs ## a virtual kiosk is armed from its own Debian and loses its power three times; about 10 minutes (SEED= repeats the moments)
	SEED='$(SEED)' $(BUN) scripts/demo-power.ts

bench: packages initramfs ## reimage side by side with what else writes images, into docs/benchmarks.md (needs root; idle machine)
	$(BUN) scripts/bench/bench.ts

bench-control: packages build ## 10,000 machines that send to the control endpoint, into docs/benchmarks.md (idle machine; 4 minutes)
	$(BUN) scripts/bench-control/bench-control.ts

bench-lifeboat: packages initramfs ## the time that a lifeboat adds, for docs/lifeboat.md (idle machine; 5 minutes)
	$(BUN) scripts/power/added-time.ts

screenshot: packages build/dashboard/dashboard.js ## docs/dashboard.png, from a real endpoint in a real browser
	$(BUN) scripts/screenshot.ts

test: packages initramfs ## everything: check, the control endpoint and loop devices (need root), virtual machines; about an hour on 2 cores
	$(BUN) scripts/test.ts

test-long: build ## the seeded sweeps of the tests, at length: fuzzed parsers, random requests to the endpoint, random web servers; about a quarter of an hour
	FUZZ_CASES=200000 $(BUN) test --timeout 3600000 test/unit/fuzz
	FUZZ_API_CASES=100000 $(BUN) test --timeout 3600000 test/control/fuzz-api.test.ts
	RANDOM_SERVERS=20000 RANDOM_SEED=1000 $(BUN) test --timeout 3600000 test/loop/http-source-random.test.ts

test-power: packages initramfs ## the power is cut at hundreds of instants of whole runs, and of broken ones, into docs/power-cuts.md; hours (ARGS='--resume')
	$(BUN) scripts/power/sweep.ts --states 170 $(ARGS)
	$(BUN) scripts/power/sweep.ts --system debian --states 12 $(ARGS)
	$(BUN) scripts/power/sweep.ts --states 40 --mutant all $(ARGS)
	$(BUN) scripts/power/table.ts
	$(BUN) scripts/power/mutant-table.ts
	$(BUN) scripts/power/kills.ts $(filter --resume,$(ARGS))
	$(BUN) scripts/power/kill-table.ts

test-control: build ## the tests of the control endpoint: PostgreSQL, Chromium, a BMC and a TFTP server, all of their own (needs root)
	$(BUN) scripts/test.ts control

test-loop: node_modules ## the tests on loop devices (needs root)
	$(BUN) scripts/test.ts loop

test-vm: initramfs ## the tests in virtual machines
	$(BUN) scripts/test.ts kiosks vm

clean: ## remove everything that was built
	rm -rf build

FORCE:
.PHONY: packages build initramfs screenshot
.PHONY: help check demo demo-power bench bench-control bench-lifeboat test test-long test-power test-control test-loop test-vm clean
