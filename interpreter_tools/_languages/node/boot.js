// A Node.js booted for one run to come: IT_BOOT_SINGLE in supervisor/protocol.h. It runs inside the sandbox as `node -e`, as the user of
// that run, waits on descriptor 3 and then behaves as `node main.js` does. With the argument "typescript" it also runs TypeScript; with
// a file after that, it runs the file at once instead of waiting. What differs from `node main.js`: /proc/self/cmdline shows this file.
'use strict';
{
  const load = require; // which is taken from the global object below
  const fs = require('fs');
  const path = require('path');
  const util = require('util');
  const vm = require('vm');
  const Module = require('module');
  const [language, ...direct] = process.argv.slice(1);

  // What `node -e` adds to the global object and `node file` does not.
  const forgetEval = () => {
    for (const name of ['require', 'module', 'exports', '__filename', '__dirname']) delete globalThis[name];
    for (const name of Module.builtinModules)
      if (Object.getOwnPropertyDescriptor(globalThis, name)?.set?.name === 'setReal') delete globalThis[name];
    delete process._eval;
    process.execArgv = [];
    // which would take the program's own name for an argument: Node.js was started with --eval
    const { parseArgs } = util;
    const asFile = { parseArgs(config = {}) { return parseArgs(config?.args ? config : { ...config, args: process.argv.slice(2) }); } };
    if (parseArgs) util.parseArgs = asFile.parseArgs;
    process.nextTick(() => { delete globalThis.module; }); // Node puts it back when its first script ends
  };

  // What this file leans on was tried on these versions only; on another the program gets a Node.js of its own.
  const major = Number(process.versions.node.split('.')[0]);
  const tested = [18, 20, 22, 24].includes(major);

  // ---- modules.js is put here

  // Before version 22.7 the name alone makes a module: a copy of the file gets such a name, for as long as the process lives.
  const asModule = (file, source) => {
    const copy = `${path.dirname(file)}/.${path.basename(file)}.mjs`;
    fs.writeFileSync(copy, source);
    process.on('exit', () => fs.rmSync(copy, { force: true }));
    return copy;
  };

  const detectsModules = major >= 24 || process.features.require_module || (major === 22 && process.versions.node >= '22.7');

  // ---- typescript.js is put here

  // Node.js itself tells the kinds apart, but refuses a module that uses a script's names.
  const loadJavaScript = () => (file) => {
    try {
      if (path.extname(file) !== '.js') return file;
      const text = fs.readFileSync(file, 'utf8');
      if (!/\b(?:import|export|await)\b/.test(text)) return file;
      if (hooked && text.includes('.json')) Module.registerHooks({ load: loadsData });
      const source = hooked ? withAttributes(text) : text;
      if (source === text && ((detectsModules && !scriptName.test(source)) || packageType(file))) return file;
      if (!isModule(source)) return file;
      if (!hooked) return asModule(file, detectsModules ? withScriptNames(source) : source);
      const url = load('url').pathToFileURL(file).href;
      const main = { source: withScriptNames(source), format: 'module', shortCircuit: true };
      Module.registerHooks({ load: (asked, context, next) => (asked === url ? main : next(asked, context)) });
    } catch {} // it comes again
    return file;
  };

  // A first call compiles and links what a later one finds ready. What is warmed here is what every run needs: loading a file as
  // the main module, the streams that the console writes to, turning the event loop.
  const warm = () => {
    load('console'); // its first look at itself
    process.stdout; process.stderr; // not stdin: to look at it makes it non-blocking, and fs.readFileSync(0) fail
    process.stdout.write('');
    try {
      const file = `/tmp/.warm-${process.pid}.${language === 'typescript' ? 'ts' : 'js'}`;
      fs.writeFileSync(file, 'const warm = [1].map((x) => `${x}`); for (const w of warm) w;', { flag: 'wx' });
      try {
        Module._load(file, null, true);
      } finally {
        fs.unlinkSync(file);
      }
      delete process.mainModule;
      delete Module._cache[file];
      for (const path of Object.keys(Module._pathCache)) delete Module._pathCache[path];
    } catch {} // a full or read-only /tmp: the run is slower, not other
  };

  const read = (count) => {
    const data = Buffer.alloc(count);
    for (let at = 0; at < count; ) {
      const got = fs.readSync(3, data, at, count - at, null);
      if (got === 0) process.reallyExit(0); // the supervisor is gone
      at += got;
    }
    return data;
  };

  // [directory, argc, ...argv, ...environment, '']; the user id before them, which may bear IT_HAND_OVER_MERGED, is ours already, and the
  // group behind it is none
  const handOver = () => {
    const message = read(read(4).readUInt32LE(0));
    fs.closeSync(3);
    if (message[3] & 0x80) {
      fs.closeSync(2);
      fs.openSync('/proc/self/fd/1', fs.constants.O_WRONLY); // the lowest number that is free: 2
    }
    return message.toString('utf8', 8).split('\0');
  };

  const become = ([directory, count, ...words]) => {
    process.chdir(directory);
    const wanted = new Map(words.slice(Number(count), -1).map((word) => [word.slice(0, word.indexOf('=')), word.slice(word.indexOf('=') + 1)]));
    for (const name of Object.keys(process.env)) if (!wanted.has(name)) delete process.env[name];
    for (const [name, value] of wanted) if (process.env[name] !== value) process.env[name] = value;
    if (process.env.NODE_PATH && tested) Module._initPaths(); // a run's dependencies
    if (process.env.INTERPRETER_TOOLS_CALLS && tested) offerTools();
    return words.slice(0, Number(count));
  };

  // ---- tools.js is put here

  const offerTools = () => {
    let tools;
    const put = (value) => Object.defineProperty(globalThis, 'tools', { value, configurable: true, enumerable: true, writable: true });
    Object.defineProperty(globalThis, 'tools', { configurable: true, get: () => tools ??= connectTools(), set: put });
  };

  // Once every listener of 'exit' has run, nothing that a program could see is left to do: the rest of the teardown only frees memory.
  // Only after an exception that nobody caught it is not so: Node prints it then.
  const leaveAtOnce = () => {
    const emit = process.emit;
    let fatal = false;
    const value = function (name, ...values) {
      if (name === 'uncaughtExceptionMonitor') fatal = true;
      const result = Reflect.apply(emit, this, [name, ...values]);
      if (name === 'uncaughtException' && result) fatal = false;
      if (name === 'exit' && !fatal) process.reallyExit(process.exitCode ?? values[0] ?? 0);
      return result;
    };
    Object.defineProperty(process, 'emit', { value, enumerable: false, configurable: true, writable: true });
  };

  // From the queue, so that no frame of ours is in the traces of the program.
  const main = ([file, ...words]) => {
    process.argv = [process.execPath, file, ...words];
    process.nextTick(Module.runMain, prepare?.(file) ?? file);
  };

  // A Node.js of its own for the program, where this one is unknown.
  const startAnother = ([file, ...words]) => {
    process.emitWarning = () => {}; // that execve is experimental
    if (process.execve) process.execve(process.execPath, ['node', file, ...words], { ...process.env });
    const { status, signal } = require('child_process').spawnSync(process.execPath, [file, ...words], { stdio: 'inherit' });
    if (signal) process.kill(process.pid, signal);
    process.reallyExit(status ?? 1);
  };

  const prepare = !tested ? undefined : language === 'typescript' ? loadTypeScript() : loadJavaScript();
  const start = tested ? main : startAnother;
  if (tested) {
    forgetEval();
    leaveAtOnce();
  }
  if (direct.length) {
    start(direct);
  } else {
    const wait = () => {
      fs.writeSync(3, 'r');
      start(become(handOver()));
    };
    if (tested) warm();
    // Not before the event loop turns: what Node does after its first script is then done ahead as well.
    setImmediate(wait);
  }
}
