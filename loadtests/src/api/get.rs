//! `api get`: one URL, again and again.

use hyper::Method;

use super::{
    arguments::GetArguments,
    pressure::{Ask, press},
};
use crate::failure::Failure;

/// Asks and prints how fast the answers came.
///
/// # Errors
///
/// [`Failure`] when the server answers none.
pub(crate) async fn run(arguments: &GetArguments) -> Result<(), Failure> {
    let GetArguments { target, path, head, duration } = arguments;
    let method = if *head { Method::HEAD } else { Method::GET };
    let path = path.clone();
    let outcome = press(target, *duration, move |_| Ask {
        method: method.clone(),
        path: path.clone(),
        body: None,
    });
    outcome.await?.report("get", *duration).print(target.json);
    Ok(())
}
