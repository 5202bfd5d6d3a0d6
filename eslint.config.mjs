// Lints the scripts of the HTML pages. A page includes several of them in one <script>, so a file names the variables of
// other files that it uses in a "global" comment, and those that other files use in an "exported" comment.
import js from "@eslint/js";
import globals from "globals";

export default [
  {ignores: ["docs/", "site/", "build/", "dist/"]},
  {
    files: ["revcd_cli/reports/templates/**/*.js"],
    languageOptions: {ecmaVersion: 2023, sourceType: "script", globals: globals.browser},
    linterOptions: {reportUnusedDisableDirectives: "error"},
    rules: {
      ...js.configs.recommended.rules,
      eqeqeq: "error",
      "no-shadow": "error",
      "no-var": "error",
      "prefer-const": "error",
      "no-implicit-globals": "off",
      "no-redeclare": ["error", {builtinGlobals: false}],
      "no-unused-vars": ["error", {vars: "all", args: "after-used"}],
    },
  },
];
