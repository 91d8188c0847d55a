declare module "virtual:alert-limits" {
  const limits: Readonly<Record<string, import("./alert-rules").Limit>>;
  export default limits;
}
