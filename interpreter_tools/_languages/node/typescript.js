  // The part of boot.js and of cells.js that only TypeScript needs: JavaScript's Node.js boots sooner without it.

  // Decorators come in two kinds that look the same where they are used; functions of the standard's kind take a context.
  const standardDecorators = /\w*DecoratorContext\b|\bcontext\.(?:name|kind|addInitializer|metadata)\b/;
  let typescript; // takes a tenth of a second to load, so it is loaded for what needs it
  const compile = (source, fileName, kind, keepsImports = false) => {
    if (!typescript) {
      const places = ['/usr/local/lib/node_modules/typescript', '/usr/lib/node_modules/typescript', '/usr/share/nodejs/typescript'];
      const place = places.find((candidate) => fs.existsSync(candidate));
      if (!place) throw new Error('this image has no TypeScript compiler: install the npm package typescript globally');
      typescript = load(place);
    }
    const ts = typescript;
    const compilerOptions = {
      module: kind ?? ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2022, esModuleInterop: true, inlineSourceMap: true,
      experimentalDecorators: !standardDecorators.test(source), verbatimModuleSyntax: keepsImports, jsx: ts.JsxEmit?.React,
    };
    const compiled = (name) => {
      const { outputText, diagnostics } = ts.transpileModule(source, { compilerOptions, fileName: name, reportDiagnostics: true });
      return { outputText, found: diagnostics.find((diagnostic) => diagnostic.file) }; // what has a place is about the syntax, as types are not looked at
    };
    const { outputText, found } = compiled(fileName);
    if (found && fileName.endsWith('.ts') && /<\/|\/>/.test(source)) { // markup, in a file without the suffix for that
      const { outputText: marked, found: wrong } = compiled(`${fileName}x`);
      if (!wrong) return marked;
    }
    if (found) throw syntaxError(ts.flattenDiagnosticMessageText(found.messageText, '\n'), fileName, found.file, found.start);
    return outputText;
  };

  // Types become spaces, so that every line and column stays; what is more than types (enums, namespaces) is transformed; for
  // decorators and `accessor`, and to tell what is wrong, there is the compiler. A later cell may use what this one imports.
  const strip = (source, fileName, keepsImports = false) => {
    if (!/(?:^|[({;,}]|\*\/|\b(?:export|default))[ \t]*@[A-Za-z_$]|\baccessor[ \t]+[\w$#"'[]/m.test(source)) {
      for (const options of [{ mode: 'strip' }, { mode: 'transform', sourceMap: true, sourceUrl: fileName }]) {
        try {
          const stripped = Module.stripTypeScriptTypes(source, options);
          const made = keepsImports ? stripped : withoutTypeImports(stripped);
          if (made !== undefined) return made;
        } catch {}
      }
    }
    return compile(source, fileName, undefined, keepsImports);
  };

  // An import of a type is left when types are stripped, as it may be one of a value; compilers leave out what no value is made of.
  // Returns the source without such names, as far as they stand in the imports at its head; undefined where only the compiler can tell.
  const withoutTypeImports = (source) => {
    const one = /#!.*|\s+|\/\/.*|\/\*[^]*?\*\/|;|(['"])use strict\1|import\s*(['"]).*?\2|import\s+([\w$*{][^'";=()]*?)\s*from\s*(['"]).*?\4(?:\s*(?:with|assert)\s*\{[^}]*\})?/y;
    const clauses = [];
    let end = 0;
    for (let found; (found = one.exec(source)); end = one.lastIndex) if (found[3]) clauses.push({ start: end, end: one.lastIndex, clause: found[3] });
    const body = source.slice(end);
    const lists = [...body.matchAll(/\bexport\s*\{([^}]*)\}(?!\s*from\b)/g)].flatMap(([, names]) => names.split(','));
    if (!clauses.length && !lists.length) return source;
    const words = new Set(body.match(/[\w$]+/g));
    const bare = new Set(body.replace(/\/\/.*|\/\*[^]*?\*\/|(['"])(?:\\.|(?!\1)[^\\\n])*\1/g, '').match(/[\w$]+/g));
    const local = (name) => name.split(/\s+as\s+/).pop();
    for (const name of lists.map((each) => each.trim().split(/\s+as\s+/)[0]).filter(Boolean))
      if (source.match(new RegExp(`(?<![\\w$])${name.replaceAll('$', '\\$')}(?![\\w$])`, 'g')).length === 1) return undefined; // a type, or a mistake
    let made = source;
    for (const { start, end, clause } of clauses.reverse()) {
      const [, first = '', list = ''] = /^([^{]*?),?\s*(?:\{([^]*)\})?$/.exec(clause);
      const names = [...first.split(','), ...list.split(',')].map((name) => name.trim()).filter(Boolean);
      const unused = names.filter((name) => !words.has(local(name)));
      if (names.some((name) => words.has(local(name)) && !bare.has(local(name)))) return undefined; // in a text or a comment, as it seems
      if (!unused.length) continue;
      if (unused.length < names.length && unused.some((name) => name.startsWith('*'))) return undefined; // a list without its comma
      let statement = source.slice(start, end);
      const blank = (text) => text.replace(/[^\n]/g, ' ');
      if (unused.length === names.length) statement = blank(statement);
      else
        for (const name of unused) {
          const pattern = name.split(/\s+/).map((word) => word.replace(/[$*]/g, '\\$&')).join('\\s+');
          statement = statement.replace(new RegExp(`(?<![\\w$])${pattern}(?![\\w$])\\s*,?`), blank);
        }
      made = made.slice(0, start) + statement + made.slice(end);
    }
    return made;
  };

  // As V8 tells of one in JavaScript: the place, the line, the caret.
  const syntaxError = (message, fileName, file, start) => {
    const { line, character } = file.getLineAndCharacterOfPosition(start);
    const error = new SyntaxError(message);
    Object.defineProperty(error, 'loc', { value: { line: line + 1, column: character } });
    const shown = `${file.text.split('\n')[line]}\n${' '.repeat(character)}^`;
    error.stack = `${fileName}:${line + 1}\n${shown}\n\nSyntaxError: ${message}\n    at ${fileName}:${line + 1}:${character + 1}`;
    return error;
  };

  const loaded = new Map(); // the main file, once
  const loadHooked = (file) => {
    const known = loaded.get(file);
    if (known) return known;
    const text = fs.readFileSync(file, 'utf8').replace(/^\ufeff/, '');
    let source = withAttributes(strip(text, file));
    const named = { '.mts': 'module', '.cts': 'commonjs' }[path.extname(file)] ?? packageType(file);
    const format = named ?? (isModule(source) ? 'module' : 'commonjs');
    // What is to be a script may be written as a module all the same: the compiler makes calls of `require` from imports.
    if (named === 'commonjs' && isModule(source)) source = compile(text, file, typescript?.ModuleKind.CommonJS ?? 1);
    if (format === 'module') source = withScriptNames(source);
    return { source, format, shortCircuit: true };
  };

  const isTypeScript = (url) => /^file:.*\.(?:[cm]?ts|tsx)(?:\?.*)?$/.test(url) && !url.includes('/node_modules/');

  // Where the paths of the nearest tsconfig.json lead, which may hold comments and commas before the end of a list.
  const mapped = (specifier, from) => {
    for (let at = from; ; at = path.dirname(at)) {
      if (!fs.existsSync(`${at}/tsconfig.json`)) {
        if (at === '/') return [];
        continue;
      }
      const text = fs.readFileSync(`${at}/tsconfig.json`, 'utf8').replace(/("(?:\\.|[^"\\])*")|\/\/.*|\/\*[^]*?\*\//g, '$1');
      const { baseUrl, paths = {} } = JSON.parse(text.replace(/,(?=\s*[}\]])/g, '')).compilerOptions ?? {};
      const found = baseUrl ? [path.resolve(at, baseUrl, specifier)] : [];
      for (const [pattern, targets] of Object.entries(paths)) {
        const [head, tail] = pattern.split('*');
        const middle = tail === undefined ? '' : specifier.slice(head.length, specifier.length - tail.length);
        if (specifier === head + middle + (tail ?? '')) found.unshift(...targets.map((target) => path.resolve(at, baseUrl ?? '.', target.replace('*', middle))));
      }
      return found;
    }
  };

  const hookTypeScript = () => {
    const { fileURLToPath, pathToFileURL } = load('url');
    const suffixes = ['.ts', '.tsx', '.mts', '.cts', '.js', '.mjs', '.cjs', '.json', '/index.ts', '/index.js'];
    Module.registerHooks({
      resolve(specifier, context, next) {
        try {
          return next(specifier, context);
        } catch (error) {
          if (!context.parentURL?.startsWith('file:') || context.parentURL.includes('/node_modules/')) throw error;
          const from = path.dirname(fileURLToPath(context.parentURL));
          const asUrl = specifier.startsWith('file:') ? new URL(specifier) : undefined; // of a cell
          const bases = asUrl ? [fileURLToPath(asUrl)] : /^\.{0,2}\//.test(specifier) ? [path.resolve(from, specifier)] : mapped(specifier, from);
          const candidates = bases.flatMap((base) => [base.replace(/\.([cm]?)js$/, '.$1ts'), ...suffixes.map((suffix) => base + suffix)]);
          const found = candidates.find((candidate) => fs.statSync(candidate, { throwIfNoEntry: false })?.isFile());
          if (!found) throw error;
          return { url: pathToFileURL(found).href + (asUrl?.search ?? ''), shortCircuit: true };
        }
      },
      load(url, context, next) {
        return isTypeScript(url) ? loadHooked(fileURLToPath(url)) : loadsData(url, context, next);
      },
    });
    const told = process.emitWarning; // that stripping is experimental
    process.emitWarning = () => {};
    for (const text of ['enum E { A }', 'const f = async (x: string): Promise<A<string>> => ({ a: `${x}` });', 'enum E { A = 1 }'])
      for (let i = 0; i < 3; i++) strip(`${text} interface A<T> { a?: T } console.log(${i})`, 'warm.ts');
    process.emitWarning = told;
  };

  // Before version 22.15: everything becomes a script, or, with an await at its top, one module.
  const hookCompiler = () => {
    const read = (file) => {
      const source = fs.readFileSync(file, 'utf8');
      return loaded.get(file) ?? compile(source, file, typescript?.ModuleKind.CommonJS ?? 1);
    };
    for (let i = 0; i < 20; i++) compile(`import fs from "fs"; const n${i}: number = ${i}; console.log(n${i}, fs);`, 'warm.ts', 1);
    for (const suffix of ['.ts', '.cts']) Module._extensions[suffix] = (module, file) => module._compile(read(file), file);
    return read;
  };

  // Returns what makes a file ready to be run as the main one, and returns the file to run.
  const loadTypeScript = () => {
    process.setSourceMapsEnabled?.(true);
    const read = hooked ? hookTypeScript() ?? loadHooked : hookCompiler();
    return (file) => {
      try {
        const source = read(file);
        if (!hooked && isModule(source)) return asModule(file, compile(fs.readFileSync(file, 'utf8'), file));
        loaded.set(file, source);
      } catch (error) {
        // Node shows the line that throws an error, which is one of ours here: so it is told without Node where no program can catch it.
        if (!(error instanceof SyntaxError)) return file; // it comes again
        process.stderr.write(`${error.stack}\n\nNode.js ${process.version}\n`);
        process.reallyExit(1);
      }
      return file;
    };
  };

