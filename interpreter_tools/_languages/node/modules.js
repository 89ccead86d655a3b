  // A part of boot.js and of cells.js: what a file of JavaScript is, and how Node.js takes it.
  const hooked = Boolean(Module.registerHooks && Module.stripTypeScriptTypes); // Node.js 22.15 and later

  // As Node.js tells the two kinds apart since version 22.7: what only a module can hold makes a module.
  const isModule = (source) => {
    if (!/\b(?:import|export|await)\b/.test(source)) return false;
    const compiles = (text) => {
      try {
        return Boolean(new vm.Script(text));
      } catch (error) {
        return /^(?:Cannot use import statement|Unexpected token 'export'|Cannot use 'import.meta')/.test(error.message) ? null : false;
      }
    };
    const text = source.replace(/^#!.*/, '');
    const asScript = compiles(Module.wrap(text));
    return asScript === null || (!asScript && compiles(`(async function () {${text}\n})`) !== false);
  };

  const packageType = (file) => {
    for (let at = path.dirname(file); ; at = path.dirname(at)) {
      try {
        return JSON.parse(fs.readFileSync(`${at}/package.json`, 'utf8')).type;
      } catch (error) {
        if (error.code !== 'ENOENT' || at === '/') return undefined;
      }
    }
  };

  // Programs mix the two kinds, and compilers let them: the names of a script that a module uses and does not declare itself are
  // declared in its first line. `require.main === module` holds, as in the main script.
  const scriptName = /(?<![.\w$])(?:require|module|exports|__filename|__dirname)\b/;
  const withScriptNames = (source) => {
    const values = {
      require: 'process.getBuiltinModule("module").createRequire(import.meta.url)',
      __filename: 'import.meta.filename', __dirname: 'import.meta.dirname',
      module: '{ exports: {}, filename: import.meta.filename, id: ".", loaded: false }', exports: 'module.exports',
    };
    const names = Object.keys(values);
    // not in `typeof module`, which asks for the kind, nor in 'node:module'
    const uses = (name) => new RegExp(`(?<![.\\w$]|\\btypeof )${name}\\b(?!['"])`).test(source);
    const declares = (name) => new RegExp(`\\b(?:const|let|var|function|class|import|as)\\s+${name}\\b`).test(source);
    let used = names.filter((name) => uses(name) && !declares(name));
    if (used.includes('exports') || used.includes('module'))
      used = names.filter((name) => used.includes(name) || (name === 'module' && !declares(name)));
    if (!used.length) return source;
    const main = used.includes('require') && used.includes('module') ? ' require.main = module;' : '';
    const declared = `var ${used.map((name) => `${name} = ${values[name]}`).join(', ')};${main}`;
    return source.startsWith('#!') ? source.replace('\n', `\n${declared}`) : declared + source;
  };

  // Imports of data as Node.js 17 to 21 took them, and as compilers take them: without saying that it is data.
  const withAttributes = (source) =>
    source.replace(/^((?:[^\n]*;)?[ \t]*(?:import|export)\b[^;'"]*?\bfrom\s*(['"])[^'"\n]*\2\s*)assert(\s*\{\s*['"]?type\b)/gm, '$1with  $3');
  const loadsData = (url, context, next) => {
    const isData = url.endsWith('.json') && !context.importAttributes?.type && context.format === 'json';
    return next(url, isData ? { ...context, importAttributes: { type: 'json' } } : context);
  };
