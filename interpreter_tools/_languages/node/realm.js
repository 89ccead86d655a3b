// The cell runner of JavaScript and TypeScript: `node --expose-internals -e` with this file and the language.
'use strict';
{
  const load = require;
  const vm = require('vm');
  const told = process.emitWarning; // that this is internal, and that stripping types is experimental
  process.emitWarning = () => {};
  const { internalBinding } = require('internal/test/binding');
  const importHere = (name, options) => import(name, options); // eslint-disable-line -- of `node -e`: it looks beside the directory
  const { Promise } = globalThis;
  const promised = (begin) => new Promise(begin);
  const settle = async (value, resolve, reject) => {
    let result;
    try {
      result = await value;
    } catch (error) {
      return reject(error);
    }
    return resolve(result);
  };
  const iterated = (values, guard) => {
    const iterator = values[Symbol.asyncIterator]?.() ?? values[Symbol.iterator]();
    return {
      [Symbol.asyncIterator]() { return this; },
      async next() {
        const { done, value } = await guard(iterator.next());
        return { done, value: await value };
      },
      async return(value) { return (await iterator.return?.(value)) ?? { done: true, value }; },
    };
  };

  // ---- tools.js is put here

  // The runner has a realm of its own: what a cell makes of `JSON`, `Array.prototype` or `Promise` does not reach it. What stands above
  // belongs to the realm of the cells, which get promises and objects from it. The runner itself holds no promises: an interrupt takes
  // those away that wait for their turn.
  const runner = ({ realm, globals, process, load, internalBinding, importHere, promised, settle, iterated, connectTools }) => {
  // ---- cells.js is put here
  };
  const realm = vm.createContext(vm.constants?.DONT_CONTEXTIFY ?? {});
  const host = { realm, globals: globalThis, process, load, internalBinding, importHere, promised, settle, iterated, connectTools };
  vm.runInContext(`'use strict'; (${runner})`, realm, { filename: 'cells' })(host);
  process.emitWarning = told;
}
